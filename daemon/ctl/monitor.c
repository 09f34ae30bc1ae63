/* SPDX-License-Identifier: GPL-2.0-or-later */
/* monitor: the service's events as lines, as JSON, or as a picture that moves (screen.c). */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>

#include "ctl/client.h"
#include "ctl/job.h"
#include "ctl/output.h"
#include "ctl/screen.h"
#include "ctl/talk.h"
#include "util/cleanup.h"
#include "util/clock.h"

#define LIST_PAUSE_USEC (1ULL * 1000000ULL) /* at least, between two lists of blocks */

/* "evacuating 42% 430M/1G reason" */
static int describe_job(const Ctl *ctl, json_object *json, char **ret) {
        char percent[16] = "-", bytes[2 * FORMAT_SIZE_MAX] = "-", a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX];
        uint64_t done, total;
        JobView job;

        job_view(&job, json);
        if (job_percent(&job) >= 0)
                (void) snprintf(percent, sizeof(percent), "%d%%", job_percent(&job));
        if (job_bytes(&job, &done, &total))
                (void) snprintf(bytes, sizeof(bytes), "%s/%s", output_size(ctl, done, a),
                                output_size(ctl, total, b));
        return asprintf(ret, "job %" PRId64 " %s %s %s %s", (int64_t) job.id, job.state, percent, bytes,
                        job.reason ?: "-");
}

static int describe_block(const Ctl *ctl, json_object *block, char **ret) {
        char size[FORMAT_SIZE_MAX];
        uint64_t index;

        return asprintf(ret, "block %" PRId64 " %s %s %s %s",
                        field_uint(block, "index", &index) ? (int64_t) index : -1,
                        field_string(block, "state") ?: "-", field_string(block, "verdict") ?: "-",
                        field_size(ctl, block, "sizeBytes", size), field_string(block, "reason") ?: "-");
}

static int describe_device(const Ctl *ctl, json_object *device, char **ret) {
        char online[FORMAT_SIZE_MAX], size[FORMAT_SIZE_MAX];

        return asprintf(ret, "device %s %s %s/%s %s", field_string(device, "name") ?: "-",
                        field_string(device, "verdict") ?: "-",
                        field_size(ctl, device, "onlineBytes", online),
                        field_size(ctl, device, "sizeBytes", size), field_string(device, "reason") ?: "-");
}

/* "health the first note (and 2 more)" */
static int describe_health(json_object *health, char **ret) {
        size_t n = json_object_array_length(health);
        const char *first = n > 0 ? json_object_get_string(json_object_array_get_idx(health, 0)) : NULL;

        if (!first)
                return asprintf(ret, "health nothing to note");
        return n == 1 ? asprintf(ret, "health %s", first)
                      : asprintf(ret, "health %s (and %zu more)", first, n - 1);
}

char *event_describe(const Ctl *ctl, json_object *event) {
        const char *name = field_string(event, "event") ?: "-";
        json_object *thing;
        char *text = NULL;
        int r;

        if (strcmp(name, "job") == 0 && (thing = field_object(event, "job")))
                r = describe_job(ctl, thing, &text);
        else if (strcmp(name, "block") == 0 && (thing = field_object(event, "block")))
                r = describe_block(ctl, thing, &text);
        else if (strcmp(name, "device") == 0 && (thing = field_object(event, "device")))
                r = describe_device(ctl, thing, &text);
        else if (strcmp(name, "health") == 0 && json_object_object_get_ex(event, "health", &thing) &&
                 json_object_is_type(thing, json_type_array))
                r = describe_health(thing, &text);
        else
                r = asprintf(&text, "%s", name);
        return r < 0 ? NULL : text;
}

static int print_event(const Ctl *ctl, json_object *event) {
        CLEANUP(freep) char *text = NULL;
        time_t now = time(NULL);
        char at[OUTPUT_TIME_MAX] = "-";
        struct tm tm;

        if (ctl->json != CTL_JSON_OFF)
                return output_json_line(event);
        text = event_describe(ctl, event);
        if (!text)
                return output_oom();
        if (localtime_r(&now, &tm))
                (void) strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%S%z", &tm);
        say(stdout, "%s %s", at, text);
        (void) fflush(stdout);
        return ferror(stdout) ? CTL_FAILED : CTL_DONE; /* main says why */
}

static int monitor_lines(const Ctl *ctl, Client *client) {
        for (;;) {
                CLEANUP(reply_clear) Reply reply = {};
                int r;

                r = client_wait(client, CLIENT_FOREVER, &reply);
                if (r == -EINTR)
                        continue;
                if (r < 0)
                        return talk_failure(ctl, r);
                if (reply.error)
                        return talk_error(ctl, &reply);
                r = print_event(ctl, reply.parameters);
                if (r != CTL_DONE || !reply.continues)
                        return r;
        }
}

/* The list of blocks for the picture, on a connection of its own, each time when verdicts may have changed.
 * Without it there is no map: whatever is wrong shows on the stream of events. */
typedef struct BlockList {
        Client *client;      /* while a list comes */
        bool wanted;
        uint64_t begun_usec, next_usec;
} BlockList;

static void list_done(BlockList *list) {
        list->client = client_free(list->client);
}

static void list_start(BlockList *list, const Ctl *ctl, Screen *screen) {
        if (screen_take_stale(screen))
                list->wanted = true;
        if (!list->wanted || list->client || clock_now_usec(CLOCK_MONOTONIC) < list->next_usec)
                return;
        list->wanted = false;
        list->begun_usec = clock_now_usec(CLOCK_MONOTONIC);
        list->next_usec = list->begun_usec + LIST_PAUSE_USEC;
        if (client_connect(&list->client, ctl->address) < 0)
                return;
        if (client_send(list->client, "org.memunplug.ListBlocks", NULL, /* more= */ true) < 0)
                list_done(list);
        else
                block_map_begin(screen_blocks(screen));
}

/* Takes what is there. A large machine is not asked all the time: the pause is longer than the list took. */
static int list_take(BlockList *list, Screen *screen) {
        for (;;) {
                CLEANUP(reply_clear) Reply reply = {};
                json_object *block;
                int r;

                r = client_take(list->client, &reply);
                if (r == -EAGAIN)
                        return 0;
                if (r < 0 || reply.error) {
                        list_done(list);
                        return 0;
                }
                block = field_object(reply.parameters, "block");
                r = block ? block_map_put(screen_blocks(screen), block) : 0;
                if (r < 0)
                        return r;
                if (reply.continues)
                        continue;
                block_map_end(screen_blocks(screen));
                list->next_usec = clock_now_usec(CLOCK_MONOTONIC);
                list->next_usec += LIST_PAUSE_USEC + 10 * (list->next_usec - list->begun_usec);
                list_done(list);
                return 0;
        }
}

/* For poll(2), like screen_timeout(). */
static int list_timeout(const BlockList *list, int other) {
        uint64_t now = clock_now_usec(CLOCK_MONOTONIC);
        int own;

        if (!list->wanted || list->client)
                return other;
        own = now >= list->next_usec ? 0 : (int) ((list->next_usec - now) / 1000 + 1);
        return other >= 0 && other < own ? other : own;
}

/* The signals that end the picture or change its size. */
static int signals_open(void) {
        sigset_t set;
        int fd;

        (void) sigemptyset(&set);
        (void) sigaddset(&set, SIGINT);
        (void) sigaddset(&set, SIGTERM);
        (void) sigaddset(&set, SIGHUP);
        (void) sigaddset(&set, SIGWINCH);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        return fd < 0 ? -errno : fd;
}

/* Takes all events that are there. False: it is over, with *ret_error (negative errno, 0) or *ret_reply. */
static bool take_events(Client *client, Screen *screen, int *ret_error, Reply *ret_reply) {
        for (;;) {
                CLEANUP(reply_clear) Reply reply = {};
                int r;

                r = client_take(client, &reply);
                if (r == -EAGAIN)
                        return true;
                if (r >= 0 && !reply.error)
                        r = screen_event(screen, reply.parameters);
                if (r >= 0 && !reply.error && reply.continues)
                        continue;
                *ret_error = r;
                *ret_reply = reply;
                reply = (Reply) {};
                return false;
        }
}

/* False: a signal to leave came. */
static bool take_signals(int fd, Screen *screen) {
        struct signalfd_siginfo info;

        while (read(fd, &info, sizeof(info)) == (ssize_t) sizeof(info)) {
                if (info.ssi_signo != SIGWINCH)
                        return false;
                screen_invalidate(screen);
        }
        return true;
}

static int monitor_screen(const Ctl *ctl, Client *client) {
        CLEANUP(screen_freep) Screen *screen = NULL;
        CLEANUP(reply_clear) Reply reply = {};
        CLEANUP(list_done) BlockList list = {};
        CLEANUP(closep) int signals = signals_open();
        bool going = true, left = false;
        int r = 0;

        if (signals < 0)
                return talk_failure(ctl, signals);
        if (screen_new(&screen, ctl) < 0)
                return output_oom();
        while (going && !left) {
                struct pollfd p[] = {
                        { .fd = client_fd(client), .events = POLLIN },
                        { .fd = signals, .events = POLLIN },
                        { .fd = list.client ? client_fd(list.client) : -1, .events = POLLIN },
                };

                if (poll(p, 3, list_timeout(&list, screen_timeout(screen))) < 0 && errno != EINTR) {
                        r = -errno;
                        break;
                }
                left = p[1].revents && !take_signals(signals, screen);
                if (!left && p[0].revents)
                        going = take_events(client, screen, &r, &reply);
                if (going && p[2].revents)
                        r = list_take(&list, screen);
                if (r < 0)
                        break;
                list_start(&list, ctl, screen);
                screen_draw(screen);
        }
        screen = screen_free(screen); /* gives the terminal back, before anything is said */
        if (r < 0)
                return talk_failure(ctl, r);
        return reply.error ? talk_error(ctl, &reply) : CTL_DONE;
}

int verb_monitor(const Ctl *ctl, char **args, size_t n_args) {
        CLEANUP(client_freep) Client *client = NULL;
        int r;

        (void) args;
        (void) n_args;
        r = talk_connect(ctl, &client);
        if (r != CTL_DONE)
                return r;
        r = client_send(client, "org.memunplug.Monitor", NULL, /* more= */ true);
        if (r < 0)
                return talk_failure(ctl, r);
        if (ctl->json == CTL_JSON_OFF && output_is_terminal(stdout))
                return monitor_screen(ctl, client);
        return monitor_lines(ctl, client);
}
