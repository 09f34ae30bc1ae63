/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What memory the machine has at the moment, from /proc/meminfo and /proc/zoneinfo. Whether that is enough
 * is for removal.c and guard.c. */
#include "memory/room.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory/zoneinfo.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "util/sysfs.h"

/* "MemFree:         1234 kB" */
static int find_value(const char *text, const char *key, uint64_t *ret) {
        size_t n = strlen(key);

        for (const char *line = text; line; line = strchr(line, '\n')) {
                const char *unit;
                uint64_t value;

                if (*line == '\n')
                        line++;
                if (strncmp(line, key, n) != 0 || line[n] != ':')
                        continue;
                line += n + 1;
                unit = parse_u64_prefix(line + strspn(line, " \t"), &value);
                if (!unit || strncmp(unit, " kB", 3) != 0 || value > UINT64_MAX / 1024)
                        return -EBADMSG;
                *ret = value * 1024;
                return 0;
        }
        return -EBADMSG;
}

int meminfo_parse(const char *text, MemoryRoom *ret) {
        MemoryRoom room = {};

        if (find_value(text, "MemTotal", &room.total_bytes) < 0 ||
            find_value(text, "MemFree", &room.free_bytes) < 0 ||
            find_value(text, "MemAvailable", &room.available_bytes) < 0)
                return -EBADMSG;
        if (find_value(text, "SwapFree", &room.swap_free_bytes) < 0)
                room.swap_free_bytes = 0; /* a kernel without swap */
        *ret = room;
        return 0;
}

/* What cannot be understood is one guard less, not the end of all: the machine's sum is known. */
static int read_zones(int root_fd, MemoryRoom *room) {
        CLEANUP(freep) char *text = NULL;
        static bool told;
        size_t n;
        int r;

        r = sysfs_read_all(root_fd, "proc/zoneinfo", ZONEINFO_TEXT_MAX, &text, &n);
        if (r == -ENOENT)
                return 0;
        if (r >= 0 && memchr(text, '\0', n))
                r = -EBADMSG;
        if (r >= 0)
                r = zoneinfo_parse(text, (uint64_t) sysconf(_SC_PAGESIZE), &room->zones, &room->n_zones);
        if (r < 0 && r != -ENOMEM && !told) {
                told = true;
                (void) log_warning_errno(r, "Cannot understand /proc/zoneinfo, judging room without it: %m");
        }
        return r == -ENOMEM ? r : 0;
}

int memory_room_read(int root_fd, MemoryRoom *ret) {
        CLEANUP(memory_room_clear) MemoryRoom room = {};
        char text[2 * SYSFS_TEXT_MAX];
        int r;

        r = sysfs_read(root_fd, "proc/meminfo", text, sizeof(text));
        if (r >= 0)
                r = meminfo_parse(text, &room);
        if (r >= 0)
                r = read_zones(root_fd, &room);
        if (r >= 0)
                r = huge_pools_read(root_fd, room.huge, &room.n_huge);
        if (r < 0)
                return r == -EFBIG ? -EBADMSG : r;
        *ret = room;
        room = (MemoryRoom) {};
        return 0;
}

void memory_room_clear(MemoryRoom *room) {
        free(room->zones);
        *room = (MemoryRoom) {};
}

static uint64_t take(uint64_t *from, uint64_t bytes) {
        uint64_t taken = *from < bytes ? *from : bytes;

        *from -= taken;
        return taken;
}

void memory_room_promise(MemoryRoom *room, int node, Zone zone, uint64_t bytes) {
        (void) take(&room->available_bytes, bytes);
        for (ZoneRoom *z = room->zones; z < room->zones + room->n_zones; z++) {
                if (z->node != node || z->zone != zone)
                        continue;
                bytes -= take(&z->free_bytes, bytes);
                (void) take(&z->used_bytes, bytes);
        }
        room->promised_bytes += bytes;
}
