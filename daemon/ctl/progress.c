/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The course of one job on standard error. It owns the bar's one line of the terminal; what a job is, is in
 * job.c. */
#include "ctl/progress.h"

#include <inttypes.h>
#include <langinfo.h>
#include <string.h>
#include <time.h>

#include "ctl/output.h"
#include "util/cleanup.h"
#include "util/clock.h"

#define BAR_MAX 40U
#define BAR_MIN 8U
#define RATE_WEIGHT 0.3 /* of the newest look */

bool terminal_is_utf8(void) {
        return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

void rate_update(Rate *rate, uint64_t bytes, uint64_t now_usec) {
        double new;

        if (rate->at_usec == 0 || bytes < rate->bytes) { /* another kind of bytes: begin again */
                *rate = (Rate) { .bytes = bytes, .at_usec = now_usec };
                return;
        }
        if (now_usec - rate->at_usec < PROGRESS_INTERVAL_USEC)
                return; /* too short to tell anything */
        new = (double) (bytes - rate->bytes) * 1e6 / (double) (now_usec - rate->at_usec);
        rate->per_second = rate->per_second <= 0 ? new
                                                 : rate->per_second * (1 - RATE_WEIGHT) + new * RATE_WEIGHT;
        rate->bytes = bytes;
        rate->at_usec = now_usec;
}

/* " 42% 430M of 1G, 310M/s, 2s left": what is known of it. */
static void format_tail(const Ctl *ctl, const JobView *job, const Rate *rate, int percent, char *buffer,
                        size_t size) {
        char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX];
        uint64_t done, total, left = job->eta_usec;
        size_t n = 0;

        buffer[0] = '\0';
        if (percent >= 0)
                n += (size_t) snprintf(buffer + n, size - n, " %d%%", percent);
        if (!job_bytes(job, &done, &total))
                return;
        n += (size_t) snprintf(buffer + n, size - n, " %s of %s", output_size(ctl, done, a),
                               output_size(ctl, total, b));
        if (rate->per_second >= 1 && rate->per_second < 1e15)
                n += (size_t) snprintf(buffer + n, size - n, ", %s/s",
                                       format_size((uint64_t) rate->per_second, a));
        if (left == JOB_UNKNOWN && rate->per_second >= 1 && total > done)
                left = (uint64_t) ((double) (total - done) * 1e6 / rate->per_second);
        if (left != JOB_UNKNOWN && left < UINT64_C(1) << 50)
                (void) snprintf(buffer + n, size - n, ", %s left",
                                format_duration((left + 999999U) / 1000000U * 1000000U, a));
}

static size_t format_bar(int percent, unsigned width, bool utf8, char *buffer) {
        unsigned full = (unsigned) percent * width / 100;
        char *p = buffer;

        *p++ = ' ';
        for (unsigned i = 0; i < width; i++)
                p = stpcpy(p, i < full ? (utf8 ? "━" : "#") : (utf8 ? "╌" : "-"));
        return (size_t) (p - buffer);
}

void progress_line(const Ctl *ctl, const JobView *job, const Rate *rate, unsigned columns, bool utf8,
                   char buffer[PROGRESS_LINE_MAX]) {
        int percent = job_percent(job);
        CLEANUP(freep) char *state = text_escape(job->state);
        char tail[256];
        size_t n, room;

        columns = columns < 4 ? 4 : columns > 256 ? 256 : columns;
        format_tail(ctl, job, rate, percent, tail, sizeof(tail));
        n = (size_t) snprintf(buffer, PROGRESS_LINE_MAX, "Job %" PRId64 " %.20s", (int64_t) job->id,
                              state ?: "-");
        room = columns > n + strlen(tail) + 1 ? columns - n - strlen(tail) - 1 : 0;
        if (percent >= 0 && room >= BAR_MIN)
                n += format_bar(percent, room > BAR_MAX ? BAR_MAX : (unsigned) room, utf8, buffer + n);
        else if (n + strlen(tail) > columns)
                tail[columns > n ? columns - n : 0] = '\0';
        (void) snprintf(buffer + n, PROGRESS_LINE_MAX - n, "%s", tail);
        if (n > columns && room == 0)
                buffer[columns] = '\0';
}

void progress_init(Progress *progress, const Ctl *ctl) {
        *progress = (Progress) {
                .ctl = ctl,
                .terminal = output_is_terminal(stderr),
                .silent = ctl->quiet || ctl->json != CTL_JSON_OFF,
        };
}

static void draw(Progress *progress, const JobView *job) {
        char line[PROGRESS_LINE_MAX];

        /* One column is left free: terminals differ in what they do after the last one. */
        progress_line(progress->ctl, job, &progress->rate, output_columns(stderr) - 1, terminal_is_utf8(),
                      line);
        fprintf(stderr, "\r%s\033[K", line);
        (void) fflush(stderr);
        progress->drawn = true;
        progress->waiting = false;
        progress->at_usec = clock_now_usec(CLOCK_MONOTONIC);
}

void progress_update(Progress *progress, const JobView *job) {
        bool changed = strncmp(progress->state, job->state, sizeof(progress->state) - 1) != 0;
        uint64_t done, total;

        if (progress->silent)
                return;
        if (changed) {
                (void) snprintf(progress->state, sizeof(progress->state), "%s", job->state);
                progress->rate = (Rate) {};
        }
        if (job_bytes(job, &done, &total))
                rate_update(&progress->rate, done, clock_now_usec(CLOCK_MONOTONIC));
        if (!progress->terminal) {
                if (changed && !job_is_final(job)) /* the end has a line of its own */
                        say(stderr, "Job %" PRId64 ": %s", (int64_t) job->id, job->state);
                return;
        }
        progress->waiting = true;
        progress_tick(progress, job);
}

void progress_tick(Progress *progress, const JobView *job) {
        if (progress->waiting &&
            clock_now_usec(CLOCK_MONOTONIC) - progress->at_usec >= PROGRESS_INTERVAL_USEC)
                draw(progress, job);
}

int progress_timeout(const Progress *progress) {
        uint64_t passed;

        if (!progress->waiting)
                return -1;
        passed = clock_now_usec(CLOCK_MONOTONIC) - progress->at_usec;
        return passed >= PROGRESS_INTERVAL_USEC ? 0 : (int) ((PROGRESS_INTERVAL_USEC - passed) / 1000 + 1);
}

void progress_clear(Progress *progress) {
        progress->waiting = false;
        if (!progress->drawn)
                return;
        fputs("\r\033[K", stderr);
        (void) fflush(stderr);
        progress->drawn = false;
}
