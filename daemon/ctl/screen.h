/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The picture of monitor on a terminal: jobs under way with their bars, all blocks, and below them what
 * happened last. */
#pragma once

#include <json-c/json.h>

#include "ctl/block-map.h"
#include "ctl/ctl.h"

typedef struct Screen Screen;

/* Takes the terminal; screen_free() gives it back, and leaves the last picture there. */
int screen_new(Screen **ret, const Ctl *ctl);
Screen *screen_free(Screen *screen);

int screen_event(Screen *screen, json_object *event); /* -ENOMEM */
BlockMap *screen_blocks(Screen *screen);              /* to put blocks into, which screen_event() does too */
/* Whether verdicts of blocks may be others than the picture has, since this was asked last. */
bool screen_take_stale(Screen *screen);
void screen_invalidate(Screen *screen);               /* its size may be another now */
void screen_draw(Screen *screen);                     /* if there is something new and it is time */
int screen_timeout(const Screen *screen);             /* milliseconds until then, -1: nothing new */

/* "job 7 evacuating 42% 430M/1G -": an event in words, to be freed; NULL: memory is short. */
char *event_describe(const Ctl *ctl, json_object *event);

static inline void screen_freep(Screen **screen) {
        if (*screen)
                (void) screen_free(*screen);
}
