/* SPDX-License-Identifier: GPL-2.0-or-later */
/* unplug, replug, cancel, confirm: what changes something. It waits for the job, shows its course, and turns
 * Ctrl-C into a cancel; how the course looks is in progress.c. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "ctl/client.h"
#include "ctl/job.h"
#include "ctl/output.h"
#include "ctl/progress.h"
#include "ctl/talk.h"
#include "ctl/what.h"
#include "util/cleanup.h"
#include "util/json.h"

typedef struct Watch {
        const Ctl *ctl;
        Client *client;     /* the job's stream */
        Client *canceller;  /* while a Cancel call is open */
        int signal_fd;
        unsigned interrupts;
        bool asked;         /* Cancel was sent */
        json_object *last;  /* the job as it came last; NULL: not accepted yet */
        Progress progress;
} Watch;

static void watch_done(Watch *watch) {
        (void) client_free(watch->client);
        (void) client_free(watch->canceller);
        closep(&watch->signal_fd);
        json_putp(&watch->last);
}

static int interrupts_open(void) {
        sigset_t set;
        int fd;

        (void) sigemptyset(&set);
        (void) sigaddset(&set, SIGINT);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        return fd < 0 ? -errno : fd;
}

/* Sends Cancel on a connection of its own: the first is taken by the stream. */
static void watch_cancel(Watch *watch) {
        CLEANUP(json_putp) json_object *parameters = json_object_new_object();
        CLEANUP(client_freep) Client *client = NULL;
        JobView job;
        int r;

        job_view(&job, watch->last);
        watch->asked = true;
        if (!parameters || job.id == JOB_UNKNOWN || json_add_int(parameters, "id", (int64_t) job.id) < 0) {
                (void) output_oom();
                return;
        }
        progress_clear(&watch->progress);
        if (talk_connect(watch->ctl, &client) != CTL_DONE)
                return;
        r = client_send(client, "org.memunplug.Cancel", parameters, /* more= */ false);
        if (r < 0) {
                (void) talk_failure(watch->ctl, r);
                return;
        }
        watch->canceller = STEAL_PTR(client);
        if (!watch->ctl->quiet)
                say(stderr, "Cancelling job %" PRIu64 "; Ctrl-C again leaves it running.", job.id);
}

/* The answer to Cancel; what matters comes on the stream, so only a refusal is told. */
static void watch_cancel_answer(Watch *watch) {
        CLEANUP(reply_clear) Reply reply = {};
        int r = client_take(watch->canceller, &reply);

        if (r == -EAGAIN)
                return;
        watch->canceller = client_free(watch->canceller);
        if (r >= 0 && !reply.error)
                return;
        progress_clear(&watch->progress);
        if (r < 0)
                (void) talk_failure(watch->ctl, r);
        else if (strcmp(reply.error, "org.memunplug.NoSuchJob") != 0) /* it has just ended: no news */
                (void) talk_error(watch->ctl, &reply);
}

/* Ctrl-C. CTL_DONE: go on waiting. */
static int watch_interrupt(Watch *watch) {
        struct signalfd_siginfo info;
        JobView job;

        if (read(watch->signal_fd, &info, sizeof(info)) != (ssize_t) sizeof(info))
                return CTL_DONE;
        if (++watch->interrupts == 1) {
                if (watch->last)
                        watch_cancel(watch);
                return CTL_DONE;
        }
        progress_clear(&watch->progress);
        if (!watch->last) {
                say(stderr, "Left without an answer; 'memunplugctl jobs' shows what became of it.");
                return CTL_LEFT;
        }
        job_view(&job, watch->last);
        say(stderr, "Job %" PRId64 " goes on without this command; 'memunplugctl show %" PRId64 "' shows "
            "it.", (int64_t) job.id, (int64_t) job.id);
        return CTL_LEFT;
}

static int watch_end(Watch *watch, const JobView *job) {
        int code;

        progress_clear(&watch->progress);
        if (watch->ctl->json != CTL_JSON_OFF) {
                code = output_json(watch->ctl, watch->last);
                if (code != CTL_DONE)
                        return code;
        }
        return job_tell_end(watch->ctl, job);
}

/* The stream broke: the service is gone, or something else answers. */
static int watch_broken(Watch *watch, int error) {
        int code = talk_failure(watch->ctl, error);
        JobView job;

        if (!watch->last)
                return code;
        job_view(&job, watch->last);
        say(stderr, "What becomes of job %" PRId64 " is not known here; 'memunplugctl show %" PRId64 "' "
            "will tell.", (int64_t) job.id, (int64_t) job.id);
        return code;
}

/* Takes all replies that are there. CTL_DONE with *ret_over: the job has ended well. */
static int watch_replies(Watch *watch, bool *ret_over) {
        for (;;) {
                CLEANUP(reply_clear) Reply reply = {};
                json_object *json;
                JobView job;
                int r;

                r = client_take(watch->client, &reply);
                if (r == -EAGAIN)
                        return CTL_DONE;
                if (r < 0 || reply.error)
                        progress_clear(&watch->progress);
                if (r < 0)
                        return watch_broken(watch, r);
                if (reply.error)
                        return talk_error(watch->ctl, &reply);
                json = field_object(reply.parameters, "job");
                if (!json)
                        return watch_broken(watch, -EBADMSG);
                json_putp(&watch->last);
                watch->last = json_object_get(json);
                job_view(&job, json);
                if (!reply.continues) {
                        *ret_over = true;
                        return watch_end(watch, &job);
                }
                progress_update(&watch->progress, &job);
                if (watch->interrupts > 0 && !watch->asked)
                        watch_cancel(watch);
        }
}

static int watch_run(Watch *watch) {
        bool over = false;
        int code = CTL_DONE;

        while (!over && code == CTL_DONE) {
                struct pollfd p[] = {
                        { .fd = client_fd(watch->client), .events = POLLIN },
                        { .fd = watch->signal_fd, .events = POLLIN },
                        { .fd = watch->canceller ? client_fd(watch->canceller) : -1, .events = POLLIN },
                };

                if (poll(p, 3, progress_timeout(&watch->progress)) < 0 && errno != EINTR)
                        return talk_failure(watch->ctl, -errno);
                if (p[1].revents)
                        code = watch_interrupt(watch);
                if (code == CTL_DONE && p[2].revents && watch->canceller)
                        watch_cancel_answer(watch);
                if (code == CTL_DONE && p[0].revents)
                        code = watch_replies(watch, &over);
                if (code == CTL_DONE && !over && watch->last) {
                        JobView job;

                        job_view(&job, watch->last);
                        progress_tick(&watch->progress, &job);
                }
        }
        return code;
}

static int watch_start(const Ctl *ctl, const char *method, json_object *parameters) {
        CLEANUP(watch_done) Watch watch = { .ctl = ctl, .signal_fd = -EBADF };
        int r;

        progress_init(&watch.progress, ctl);
        r = talk_connect(ctl, &watch.client);
        if (r != CTL_DONE)
                return r;
        watch.signal_fd = interrupts_open(); /* before the call: from here on there may be a job */
        if (watch.signal_fd < 0)
                return talk_failure(ctl, watch.signal_fd);
        r = client_send(watch.client, method, parameters, /* more= */ true);
        if (r < 0)
                return talk_failure(ctl, r);
        return watch_run(&watch);
}

/* --no-wait: the job as it was accepted is all we want. */
static int start_only(const Ctl *ctl, const char *method, json_object *parameters) {
        CLEANUP(reply_clear) Reply reply = {};
        json_object *json;
        JobView job;
        int code;

        code = talk_call(ctl, method, parameters, &reply);
        if (code != CTL_DONE)
                return code;
        json = field_object(reply.parameters, "job");
        if (!json)
                return talk_failure(ctl, -EBADMSG);
        job_view(&job, json);
        if (ctl->json != CTL_JSON_OFF)
                code = output_json(ctl, json);
        else if (!ctl->quiet && !job_is_final(&job))
                say(stdout, "Job %" PRId64 " is under way; 'memunplugctl show %" PRId64 "' shows it.",
                    (int64_t) job.id, (int64_t) job.id);
        return code == CTL_DONE && job_is_final(&job) ? job_tell_end(ctl, &job) : code;
}

static int change(const Ctl *ctl, const char *method, const char *what, json_object *parameters) {
        const char *hint = NULL;
        int r;

        r = what_parse(what, parameters, &hint);
        if (r == -EINVAL) {
                say(stderr, "Cannot use '%s': %s.", what, hint);
                return CTL_FAILED;
        }
        if (r < 0)
                return output_oom();
        return ctl->no_wait ? start_only(ctl, method, parameters) : watch_start(ctl, method, parameters);
}

int verb_unplug(const Ctl *ctl, char **args, size_t n_args) {
        CLEANUP(json_putp) json_object *parameters = json_object_new_object();

        (void) n_args;
        if (!parameters ||
            (ctl->deadline_usec > 0 &&
             json_add_int(parameters, "deadlineUsec", (int64_t) ctl->deadline_usec) < 0) ||
            (ctl->partial && json_add_bool(parameters, "allowPartial", true) < 0))
                return output_oom();
        return change(ctl, "org.memunplug.Unplug", args[0], parameters);
}

int verb_replug(const Ctl *ctl, char **args, size_t n_args) {
        CLEANUP(json_putp) json_object *parameters = json_object_new_object();

        (void) n_args;
        if (!parameters)
                return output_oom();
        return change(ctl, "org.memunplug.Replug", args[0], parameters);
}

/* A call about one job. says: what is told of it, unless it has ended. */
static int act_on_job(const Ctl *ctl, const char *method, const char *id_text, const char *says) {
        CLEANUP(reply_clear) Reply reply = {};
        json_object *json;
        JobView job;
        uint64_t id;
        int code;

        code = talk_job(ctl, method, id_text, &id, &reply, &json);
        if (code != CTL_DONE)
                return code;
        if (ctl->json != CTL_JSON_OFF)
                return output_json(ctl, json);
        job_view(&job, json);
        if (!ctl->quiet)
                say(stdout, "Job %" PRIu64 "%s: %s.", id, job_is_final(&job) ? "" : says, job.state);
        return CTL_DONE;
}

int verb_cancel(const Ctl *ctl, char **args, size_t n_args) {
        (void) n_args;
        return act_on_job(ctl, "org.memunplug.Cancel", args[0], " is being cancelled");
}

int verb_confirm(const Ctl *ctl, char **args, size_t n_args) {
        (void) n_args;
        return act_on_job(ctl, "org.memunplug.Confirm", args[0], " is confirmed");
}
