/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The address ranges of a process, from the text of its /proc/PID/maps. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAPS_RANGES_MAX 262144U /* four times the kernel's usual limit; 4 MiB of ours */

typedef struct MapsRange {
        uint64_t start; /* bytes */
        uint64_t size;
} MapsRange;

typedef struct Maps {
        MapsRange *ranges; /* owned */
        size_t n_ranges;
        size_t n_allocated;
        uint64_t line_start, line_end; /* of the line being read */
        unsigned place;                /* where in that line we are */
        bool truncated;                /* there were more than MAPS_RANGES_MAX */
} Maps;

/* Takes text in pieces of any size; only the addresses at the start of each line are looked at.
 * -EBADMSG: no such text; -ENOMEM. */
int maps_feed(Maps *maps, const char *text, size_t n);
/* -EBADMSG: the text ended within a line. */
int maps_finish(Maps *maps);
/* Small ranges first: the pages in use are in them, and huge reservations, which may be nearly empty, take
 * their time last. */
void maps_sort(Maps *maps);
/* Forgets the ranges and keeps the room for them. */
void maps_reset(Maps *maps);
void maps_clear(Maps *maps);
