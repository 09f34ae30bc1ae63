/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The picture of monitor on a terminal. It owns the terminal while it lives, the jobs under way, the blocks,
 * and the last lines of what happened; where events come from is monitor.c's. */
#include "ctl/screen.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "ctl/job.h"
#include "ctl/output.h"
#include "ctl/progress.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/json.h"

#define JOBS_MAX 64U   /* shown; more are told in lines only */
#define LINES_MAX 128U /* remembered */

typedef struct ScreenJob {
        json_object *json;
        uint64_t id;
        Rate rate;
} ScreenJob;

struct Screen {
        const Ctl *ctl;
        ScreenJob jobs[JOBS_MAX]; /* by number */
        size_t n_jobs;
        char *lines[LINES_MAX];   /* a ring: the newest is at (next - 1) % LINES_MAX */
        size_t next;
        BlockMap *blocks;
        bool dirty, stale;
        uint64_t at_usec;         /* of the last picture */
};

int screen_new(Screen **ret, const Ctl *ctl) {
        Screen *screen = calloc(1, sizeof(*screen));

        if (!screen)
                return -ENOMEM;
        if (block_map_new(&screen->blocks) < 0) {
                free(screen);
                return -ENOMEM;
        }
        screen->ctl = ctl;
        screen->dirty = screen->stale = true;
        fputs("\033[?1049h\033[?25l", stdout); /* the other screen, no cursor */
        *ret = screen;
        return 0;
}

static void terminal_size(unsigned *ret_rows, unsigned *ret_columns) {
        struct winsize size = {};

        *ret_columns = output_columns(stdout);
        *ret_rows = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) >= 0 && size.ws_row > 0 ? size.ws_row : 24;
}

/* Prints at most so many columns of text that is safe already; each character counts as one. */
static void put_line(const char *text, unsigned columns, bool in_place) {
        for (unsigned n = 0; *text; text++) {
                if (((unsigned char) *text & 0xC0) != 0x80 && n++ >= columns)
                        break;
                putchar(*text);
        }
        fputs(in_place ? "\033[K\n" : "\n", stdout);
}

static void put_picture(Screen *screen, bool in_place) {
        unsigned rows, columns, room, n;
        char line[PROGRESS_LINE_MAX], at[OUTPUT_TIME_MAX];
        uint64_t now = (uint64_t) time(NULL) * 1000000U;

        terminal_size(&rows, &columns);
        columns = columns > 1 ? columns - 1 : 1;
        room = rows > 4 ? rows - 4 : 1; /* headings, and the last row, which must not scroll */
        (void) snprintf(line, sizeof(line), "memunplug  %s  %zu %s under way%s", output_time(now, at),
                        screen->n_jobs, screen->n_jobs == 1 ? "job" : "jobs",
                        in_place ? "  (Ctrl-C leaves)" : "");
        put_line(line, columns, in_place);
        put_line("", columns, in_place);
        for (n = 0; n < screen->n_jobs && n < room; n++) {
                JobView job;

                job_view(&job, screen->jobs[n].json);
                progress_line(screen->ctl, &job, &screen->jobs[n].rate, columns, terminal_is_utf8(), line);
                put_line(line, columns, in_place);
        }
        if (n > 0 && room > n)
                put_line("", columns, in_place);
        room = room > n ? room - n : 0;
        n = block_map_draw(screen->blocks, screen->ctl, room / 2, columns, in_place);
        if (n > 0)
                put_line("", columns, in_place);
        room -= n > 0 ? n + 1 : 0;
        n = screen->next < LINES_MAX ? (unsigned) screen->next : LINES_MAX;
        for (n = n < room ? n : room; n > 0; n--)
                put_line(screen->lines[(screen->next - n) % LINES_MAX], columns, in_place);
}

Screen *screen_free(Screen *screen) {
        if (!screen)
                return NULL;
        fputs("\033[?25h\033[?1049l", stdout);
        put_picture(screen, /* in_place= */ false);
        (void) fflush(stdout);
        for (size_t i = 0; i < screen->n_jobs; i++)
                (void) json_object_put(screen->jobs[i].json);
        (void) block_map_free(screen->blocks);
        for (size_t i = 0; i < LINES_MAX; i++)
                free(screen->lines[i]);
        free(screen);
        return NULL;
}

/* Adds what happened to the lines below the jobs. */
static int remember(Screen *screen, json_object *event) {
        CLEANUP(freep) char *text = event_describe(screen->ctl, event), *safe = NULL;
        char at[OUTPUT_TIME_MAX], *line;
        const char *clock;

        safe = text ? text_escape(text) : NULL;
        clock = strchr(output_time((uint64_t) time(NULL) * 1000000U, at), ' '); /* without the day */
        if (!safe || asprintf(&line, "%s %s", clock ? clock + 1 : "-", safe) < 0)
                return -ENOMEM;
        free(screen->lines[screen->next % LINES_MAX]);
        screen->lines[screen->next++ % LINES_MAX] = line;
        return 0;
}

/* Takes a job up, renews it, or drops it when it has ended. True: its state is another than before. */
static bool keep_job(Screen *screen, json_object *json) {
        uint64_t done, total;
        bool changed = true;
        JobView job, old;
        size_t i;

        job_view(&job, json);
        for (i = 0; i < screen->n_jobs && screen->jobs[i].id < job.id; i++)
                ;
        if (i < screen->n_jobs && screen->jobs[i].id == job.id) {
                job_view(&old, screen->jobs[i].json);
                changed = strcmp(old.state, job.state) != 0;
                (void) json_object_put(screen->jobs[i].json);
                if (job_is_final(&job)) {
                        screen->n_jobs--;
                        memmove(&screen->jobs[i], &screen->jobs[i + 1],
                                (screen->n_jobs - i) * sizeof(ScreenJob));
                        return true;
                }
        } else {
                if (job_is_final(&job) || screen->n_jobs == JOBS_MAX)
                        return true;
                memmove(&screen->jobs[i + 1], &screen->jobs[i], (screen->n_jobs - i) * sizeof(ScreenJob));
                screen->n_jobs++;
                screen->jobs[i] = (ScreenJob) { .id = job.id };
        }
        screen->jobs[i].json = json_object_get(json);
        if (changed)
                screen->jobs[i].rate = (Rate) {};
        if (job_bytes(&job, &done, &total))
                rate_update(&screen->jobs[i].rate, done, clock_now_usec(CLOCK_MONOTONIC));
        return changed;
}

int screen_event(Screen *screen, json_object *event) {
        json_object *job = field_object(event, "job"), *block = field_object(event, "block");
        int r;

        screen->dirty = true;
        /* Progress shows in the bars; the lines are for what is new. */
        if (job && !keep_job(screen, job))
                return 0;
        screen->stale = true;
        r = block ? block_map_put(screen->blocks, block) : 0;
        return r < 0 ? r : remember(screen, event);
}

BlockMap *screen_blocks(Screen *screen) {
        screen->dirty = true;
        return screen->blocks;
}

bool screen_take_stale(Screen *screen) {
        bool stale = screen->stale;

        screen->stale = false;
        return stale;
}

void screen_invalidate(Screen *screen) {
        screen->dirty = true;
        screen->at_usec = 0;
}

int screen_timeout(const Screen *screen) {
        uint64_t passed;

        if (!screen->dirty)
                return -1;
        passed = clock_now_usec(CLOCK_MONOTONIC) - screen->at_usec;
        return passed >= PROGRESS_INTERVAL_USEC ? 0 : (int) ((PROGRESS_INTERVAL_USEC - passed) / 1000 + 1);
}

void screen_draw(Screen *screen) {
        if (!screen->dirty || clock_now_usec(CLOCK_MONOTONIC) - screen->at_usec < PROGRESS_INTERVAL_USEC)
                return;
        fputs("\033[H", stdout);
        put_picture(screen, /* in_place= */ true);
        fputs("\033[J", stdout);
        (void) fflush(stdout);
        screen->dirty = false;
        screen->at_usec = clock_now_usec(CLOCK_MONOTONIC);
}
