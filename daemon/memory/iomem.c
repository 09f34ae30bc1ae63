/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Takes /proc/iomem apart: "  140000000-147ffffff : System RAM (virtio_mem)", two blanks deeper than its
 * parent, which is named after the device. Without CAP_SYS_ADMIN the kernel shows all addresses as 0. */
#include "memory/iomem.h"

#include <stdlib.h>
#include <string.h>

#include "util/array.h"
#include "util/cleanup.h"
#include "util/sysfs.h"

#define LEVELS_MAX 32U
#define ADDRESS_DIGITS_MAX 16U

typedef struct Line {
        unsigned level;
        uint64_t start, last;
        const char *name;
        size_t name_n;
} Line;

typedef struct Text {
        const char *p, *end;
} Text;

/* Takes hexadecimal digits up to a stop character, and that as well. */
static int take_address(Text *text, char stop, uint64_t *ret) {
        char digits[ADDRESS_DIGITS_MAX + 1];
        size_t n = 0;

        while (text->p < text->end && *text->p != stop) {
                if (n >= ADDRESS_DIGITS_MAX)
                        return -EBADMSG;
                digits[n++] = *text->p++;
        }
        if (text->p >= text->end)
                return -EBADMSG;
        text->p++;
        digits[n] = 0;
        return parse_u64(digits, 16, ret) < 0 ? -EBADMSG : 0;
}

static int take_line(Text *text, Line *ret) {
        const char *end = memchr(text->p, '\n', (size_t) (text->end - text->p));
        Text rest = { text->p, end ? end : text->end };
        Line line = {};

        text->p = end ? end + 1 : text->end;
        while (rest.p < rest.end && *rest.p == ' ')
                rest.p++, line.level++;
        if (line.level % 2)
                return -EBADMSG;
        line.level /= 2;
        if (take_address(&rest, '-', &line.start) < 0 || take_address(&rest, ' ', &line.last) < 0)
                return -EBADMSG;
        if (rest.end - rest.p < 2 || rest.p[0] != ':' || rest.p[1] != ' ' || line.last < line.start)
                return -EBADMSG;
        line.name = rest.p + 2;
        line.name_n = (size_t) (rest.end - line.name);
        *ret = line;
        return 0;
}

static bool name_is(const Line *line, const char *name) {
        return strlen(name) == line->name_n && memcmp(name, line->name, line->name_n) == 0;
}

/* Device names go into sentences and replies: plain characters, and short enough. */
static bool name_is_device(const Line *line) {
        if (line->name_n == 0 || line->name_n >= DEVICE_NAME_SIZE)
                return false;
        for (size_t i = 0; i < line->name_n; i++)
                if (line->name[i] <= ' ' || line->name[i] >= 0x7f || line->name[i] == '/')
                        return false;
        return true;
}

static int add_range(IomemMap *map, size_t *allocated, const Line *line, const Line *parent,
                     DeviceKind kind) {
        IomemRange *range;

        if (line->last == 0) {
                map->hidden = true;
                return 0;
        }
        if (!name_is_device(parent))
                return 0;
        if (ARRAY_RESERVE(map->ranges, map->n_ranges, allocated, 16) < 0)
                return -ENOMEM;
        range = &map->ranges[map->n_ranges++];
        *range = (IomemRange) { .start = line->start, .last = line->last, .kind = kind };
        memcpy(range->name, parent->name, parent->name_n);
        return 0;
}

static void add_crash(IomemMap *map, const Line *line) {
        if (line->last == 0 || map->n_crash >= IOMEM_CRASH_MAX) /* kept from us; or no kernel's */
                return;
        map->crash[map->n_crash].start = line->start;
        map->crash[map->n_crash++].last = line->last;
}

static int compare_ranges(const void *a, const void *b) {
        const IomemRange *x = a, *y = b;

        return (x->start > y->start) - (x->start < y->start);
}

/* Resources of one level do not overlap in the kernel; if these do, nothing can be said. */
static int sort_ranges(IomemMap *map) {
        if (map->n_ranges > 0)
                qsort(map->ranges, map->n_ranges, sizeof(*map->ranges), compare_ranges);
        for (size_t i = 1; i < map->n_ranges; i++)
                if (map->ranges[i].start <= map->ranges[i - 1].last)
                        return -EBADMSG;
        return 0;
}

int iomem_parse(const char *text, size_t n, IomemMap *ret) {
        CLEANUP(iomem_map_clear) IomemMap map = {};
        Line parents[LEVELS_MAX];
        Text rest = { text, text + n };
        size_t allocated = 0;
        unsigned depth = 0; /* how many of parents are known */
        int r;

        while (rest.p < rest.end) {
                Line line;

                r = take_line(&rest, &line);
                if (r < 0)
                        return r;
                if (line.level > depth || line.level >= LEVELS_MAX)
                        return -EBADMSG;
                parents[line.level] = line;
                depth = line.level + 1;
                if (name_is(&line, "Crash kernel"))
                        add_crash(&map, &line);
                if (line.level == 0)
                        continue;
                if (name_is(&line, "System RAM (virtio_mem)"))
                        r = add_range(&map, &allocated, &line, &parents[line.level - 1], DEVICE_VIRTIO_MEM);
                else if (name_is(&line, "System RAM (kmem)"))
                        r = add_range(&map, &allocated, &line, &parents[line.level - 1], DEVICE_DAX);
                if (r < 0)
                        return r;
        }
        r = sort_ranges(&map);
        if (r < 0)
                return r;
        *ret = map;
        map = (IomemMap) {};
        return 0;
}

void iomem_map_clear(IomemMap *map) {
        free(map->ranges);
        *map = (IomemMap) {};
}

bool iomem_map_has_crash_kernel(const IomemMap *map, uint64_t start, uint64_t size) {
        for (size_t i = 0; i < map->n_crash; i++)
                if (map->crash[i].last >= start && map->crash[i].start < start + size)
                        return true;
        return false;
}

const IomemRange *iomem_map_find(const IomemMap *map, uint64_t start, uint64_t size) {
        size_t low = 0, high = map->n_ranges;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (map->ranges[middle].last < start)
                        low = middle + 1;
                else
                        high = middle;
        }
        if (low < map->n_ranges && map->ranges[low].start < start + size)
                return &map->ranges[low];
        return NULL;
}
