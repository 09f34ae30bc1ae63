/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls two services in turns, A B B A, on connections that stay open, and says how long each took: one
 * line "A_P50 A_P99 B_P50 B_P99" in nanoseconds. It knows nothing of what it calls.
 *
 *   calls varlink N MESSAGE SOCKET_A SOCKET_B
 *   calls bus N PATH INTERFACE MEMBER NAME_A NAME_B      MEMBER =NAME: the property NAME */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <time.h>

#define BATCH 50U       /* calls of one service in a row */
#define WARM_UP 500U    /* calls that do not count */
#define ANSWER_MAX 65536U

typedef struct Service {
        int fd;                                         /* Varlink */
        const char *text;
        size_t length;
        sd_bus *bus;                                    /* D-Bus */
        const char *name, *path, *interface, *member;
        uint64_t *nsec;
        size_t n;
} Service;

__attribute__((noreturn)) static void die(const char *what) {
        fprintf(stderr, "calls: %s failed\n", what);
        exit(EXIT_FAILURE);
}

static uint64_t now(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000000 + (uint64_t) ts.tv_nsec;
}

static void call_varlink(const Service *service) {
        static char answer[ANSWER_MAX];
        size_t n = 0;

        if (send(service->fd, service->text, service->length, MSG_NOSIGNAL) != (ssize_t) service->length)
                die("send");
        do {
                ssize_t k = recv(service->fd, answer + n, sizeof(answer) - n, 0);

                if (k <= 0)
                        die("recv");
                n += (size_t) k;
        } while (answer[n - 1] != '\0');
}

static void call_bus(const Service *s) {
        sd_bus_message *reply = NULL;
        int r;

        if (s->member[0] == '=')
                r = sd_bus_get_property(s->bus, s->name, s->path, s->interface, s->member + 1, NULL, &reply, "s");
        else
                r = sd_bus_call_method(s->bus, s->name, s->path, s->interface, s->member, NULL, &reply, "");
        if (r < 0)
                die(s->name);
        (void) sd_bus_message_unref(reply);
}

static void batch(Service *service, size_t n, bool counts) {
        for (size_t i = 0; i < n; i++) {
                const uint64_t begin = now();

                if (service->bus)
                        call_bus(service);
                else
                        call_varlink(service);
                if (counts)
                        service->nsec[service->n++] = now() - begin;
        }
}

static int compare(const void *a, const void *b) {
        const uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return x < y ? -1 : x > y;
}

static void measure(Service services[2], size_t n) {
        static const unsigned char order[] = { 0, 1, 1, 0 };

        for (unsigned i = 0; i < 2; i++) {
                services[i].nsec = calloc(n + 4 * BATCH, sizeof(uint64_t));
                if (!services[i].nsec)
                        die("calloc");
                batch(&services[i], WARM_UP, /* counts= */ false);
        }
        while (services[0].n < n)
                for (unsigned i = 0; i < 4; i++)
                        batch(&services[order[i]], BATCH, /* counts= */ true);
        for (unsigned i = 0; i < 2; i++) {
                qsort(services[i].nsec, services[i].n, sizeof(uint64_t), compare);
                printf("%llu %llu ", (unsigned long long) services[i].nsec[services[i].n / 2],
                       (unsigned long long) services[i].nsec[services[i].n * 99 / 100]);
        }
        printf("\n");
}

static int connect_to(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        if (fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                die(path);
        return fd;
}

int main(int argc, char **argv) {
        Service services[2] = {};
        sd_bus *bus = NULL;

        if (argc == 6 && strcmp(argv[1], "varlink") == 0)
                for (int i = 0; i < 2; i++)
                        services[i] = (Service) { .fd = connect_to(argv[4 + i]), .text = argv[3],
                                                  .length = strlen(argv[3]) + 1 };
        else if (argc == 8 && strcmp(argv[1], "bus") == 0 && sd_bus_open_system(&bus) >= 0)
                for (int i = 0; i < 2; i++)
                        services[i] = (Service) { .bus = bus, .name = argv[6 + i], .path = argv[3],
                                                  .interface = argv[4], .member = argv[5] };
        else
                die("the command line, or connecting,");
        measure(services, strtoul(argv[2], NULL, 10));
        return EXIT_SUCCESS;
}
