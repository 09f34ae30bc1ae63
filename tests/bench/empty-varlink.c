/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The least that can be called a Varlink service, to measure against: no limits, no checks, one event loop.
 * Takes each call apart with json-c, finds its method among those of the command line, makes that method's
 * answer as an object of its own, and writes it with json-c. empty-varlink SOCKET METHOD ANSWER [METHOD ANSWER...] */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#define METHODS_MAX 8

static struct {
        const char *name;
        json_object *answer;
} methods[METHODS_MAX];
static size_t n_methods;

static void answer(int fd, const char *text) {
        json_object *call = json_tokener_parse(text), *name = NULL, *reply = NULL;
        size_t length;

        if (!call || !json_object_object_get_ex(call, "method", &name))
                exit(EXIT_FAILURE);
        for (size_t i = 0; i < n_methods; i++) {
                if (strcmp(methods[i].name, json_object_get_string(name)) != 0)
                        continue;
                if (json_object_deep_copy(methods[i].answer, &reply, NULL) < 0)
                        exit(EXIT_FAILURE);
                text = json_object_to_json_string_length(reply, JSON_C_TO_STRING_PLAIN, &length);
                if (send(fd, text, length + 1, MSG_NOSIGNAL) != (ssize_t) length + 1)
                        exit(EXIT_FAILURE);
                (void) json_object_put(reply);
        }
        (void) json_object_put(call);
}

/* The client waits for its answer: a message comes whole and alone. */
static int on_call(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        char text[4096];
        ssize_t n = recv(fd, text, sizeof(text), 0);

        if (n <= 0) {
                (void) close(fd);
                (void) sd_event_source_disable_unref(source);
                return 0;
        }
        if (text[n - 1] != '\0')
                exit(EXIT_FAILURE);
        answer(fd, text);
        return 0;
}

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        sd_event_source *connection;
        int peer = accept(fd, NULL, NULL);

        return peer < 0 ? 0 : sd_event_add_io(userdata, &connection, peer, EPOLLIN, on_call, NULL);
}

int main(int argc, char **argv) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        sd_event *event;
        int fd;

        for (int i = 2; i + 1 < argc && n_methods < METHODS_MAX; i += 2, n_methods++) {
                methods[n_methods].name = argv[i];
                methods[n_methods].answer = json_tokener_parse(argv[i + 1]);
                if (!methods[n_methods].answer)
                        return EXIT_FAILURE;
        }
        if (n_methods == 0)
                return EXIT_FAILURE;
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[1]);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 || listen(fd, 8) < 0 ||
            sd_event_default(&event) < 0 ||
            sd_event_add_io(event, NULL, fd, EPOLLIN, on_connection, event) < 0) {
                perror(argv[1]);
                return EXIT_FAILURE;
        }
        puts("ready");
        (void) fflush(stdout);
        return sd_event_loop(event) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
