/* SPDX-License-Identifier: GPL-2.0-or-later */
/* It knows each mark and device of a block and nothing else; whose turn it is to ask is monitor.c's. */
#include "ctl/block-map.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/output.h"
#include "util/array.h"
#include "util/cleanup.h"

#define BLOCKS_MAX (1U << 20)
#define LABEL_MAX 16 /* characters of a device's name */
#define MARKS_MIN 8U /* in a row, however narrow the terminal */

/* Where several blocks share a place the last of them in this order shows. */
static const struct {
        const char *verdict;
        char sign;
} marks[] = {
        { "", '?' },        { "offline", '_' },   { "free", '.' }, { "movable", 'o' },
        { "guarded", '-' }, { "unmovable", 'x' }, { "busy", '*' },
};
#define N_MARKS (sizeof(marks) / sizeof(marks[0]))

typedef struct MapBlock {
        uint64_t index;
        uint32_t device; /* of names */
        uint32_t list;   /* the last one that had it */
        uint8_t mark;
} MapBlock;

struct BlockMap {
        MapBlock *blocks; /* by index */
        size_t n_blocks, size_blocks;
        char **names;     /* of devices, escaped */
        size_t n_names;
        uint32_t list;    /* the present one */
};

/* Blocks of one device that follow each other. */
typedef struct Group {
        const MapBlock *blocks;
        size_t n;
} Group;

int block_map_new(BlockMap **ret) {
        *ret = calloc(1, sizeof(**ret));
        return *ret ? 0 : -ENOMEM;
}

BlockMap *block_map_free(BlockMap *map) {
        if (!map)
                return NULL;
        for (size_t i = 0; i < map->n_names; i++)
                free(map->names[i]);
        free(map->names);
        free(map->blocks);
        free(map);
        return NULL;
}

/* Neighbours mostly belong together: the newest first. */
static int find_name(BlockMap *map, const char *device, uint32_t *ret) {
        CLEANUP(freep) char *name = text_escape(device);
        char **names;

        if (!name)
                return -ENOMEM;
        for (size_t i = map->n_names; i > 0; i--)
                if (strcmp(map->names[i - 1], name) == 0) {
                        *ret = (uint32_t) i - 1;
                        return 0;
                }
        names = reallocarray(map->names, map->n_names + 1, sizeof(*names));
        if (!names)
                return -ENOMEM;
        map->names = names;
        names[map->n_names] = STEAL_PTR(name);
        *ret = (uint32_t) map->n_names++;
        return 0;
}

/* Where the block is, or would be. */
static size_t find_place(const BlockMap *map, uint64_t index) {
        size_t low = 0, high = map->n_blocks;

        if (high > 0 && map->blocks[high - 1].index < index)
                return high; /* a list comes in order */
        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (map->blocks[middle].index < index)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static void remove_block(BlockMap *map, size_t at) {
        map->n_blocks--;
        memmove(map->blocks + at, map->blocks + at + 1, (map->n_blocks - at) * sizeof(*map->blocks));
}

static int insert_block(BlockMap *map, size_t at) {
        if (map->n_blocks >= BLOCKS_MAX)
                return -EMSGSIZE;
        if (ARRAY_RESERVE(map->blocks, map->n_blocks, &map->size_blocks, 64) < 0)
                return -ENOMEM;
        memmove(map->blocks + at + 1, map->blocks + at, (map->n_blocks - at) * sizeof(*map->blocks));
        map->n_blocks++;
        return 0;
}

static uint8_t find_mark(const char *verdict) {
        for (uint8_t i = 1; i < N_MARKS; i++)
                if (strcmp(marks[i].verdict, verdict) == 0)
                        return i;
        return 0;
}

int block_map_put(BlockMap *map, json_object *block) {
        const char *verdict = field_string(block, "verdict") ?: "-";
        uint64_t index;
        uint32_t device;
        size_t at;
        bool known;
        int r;

        if (!field_uint(block, "index", &index))
                return 0;
        at = find_place(map, index);
        known = at < map->n_blocks && map->blocks[at].index == index;
        if (strcmp(verdict, "absent") == 0) {
                if (known)
                        remove_block(map, at);
                return 0;
        }
        r = find_name(map, field_string(block, "device") ?: "-", &device);
        if (r >= 0 && !known)
                r = insert_block(map, at);
        if (r < 0)
                return r == -EMSGSIZE ? 0 : r;
        map->blocks[at] = (MapBlock) { .index = index, .device = device, .list = map->list,
                                       .mark = find_mark(verdict) };
        return 0;
}

void block_map_begin(BlockMap *map) {
        map->list++;
}

void block_map_end(BlockMap *map) {
        size_t kept = 0;

        for (size_t i = 0; i < map->n_blocks; i++)
                if (map->blocks[i].list == map->list)
                        map->blocks[kept++] = map->blocks[i];
        map->n_blocks = kept;
}

/* The group that begins there. */
static Group group_at(const BlockMap *map, size_t at) {
        Group group = { map->blocks + at, 1 };

        while (at + group.n < map->n_blocks && group.blocks[group.n].device == group.blocks[0].device)
                group.n++;
        return group;
}

static size_t count_rows(const BlockMap *map, size_t each, size_t width) {
        size_t rows = 0;

        for (size_t at = 0; at < map->n_blocks;) {
                Group group = group_at(map, at);

                rows += (group.n + each * width - 1) / (each * width);
                at += group.n;
        }
        return rows;
}

static void end_row(bool in_place) {
        fputs(in_place ? "\033[K\n" : "\n", stdout);
}

static uint8_t mark_of(const MapBlock *blocks, size_t n) {
        uint8_t mark = 0;

        for (size_t i = 0; i < n; i++)
                if (blocks[i].mark > mark)
                        mark = blocks[i].mark;
        return mark;
}

static void put_marks(const MapBlock *blocks, size_t n, size_t each, bool colors) {
        const char *color = NULL;

        for (size_t i = 0; i < n; i += each) {
                uint8_t mark = mark_of(blocks + i, n - i < each ? n - i : each);
                const char *wanted = colors ? output_word_color(marks[mark].verdict) : NULL;

                if (wanted != color)
                        fputs(wanted ?: "\033[0m", stdout);
                color = wanted;
                putchar(marks[mark].sign);
        }
        if (color)
                fputs("\033[0m", stdout);
}

static void put_legend(unsigned columns, size_t each, bool in_place) {
        char line[128] = "";
        size_t n = 0;

        for (size_t i = 1; i < N_MARKS; i++)
                n += (size_t) snprintf(line + n, sizeof(line) - n, "%s%c %s", i > 1 ? "  " : "",
                                       marks[i].sign, marks[i].verdict);
        if (each > 1)
                (void) snprintf(line + n, sizeof(line) - n, "  (%zu blocks each)", each);
        printf("%.*s", (int) columns, line);
        end_row(in_place);
}

unsigned block_map_draw(const BlockMap *map, const Ctl *ctl, unsigned max_rows, unsigned columns,
                        bool in_place) {
        const bool colors = in_place && output_has_colors(stdout);
        const size_t label = LABEL_MAX + 1 + 8 + 1, legend = ctl->no_legend ? 0 : 1;
        size_t width = columns > label + MARKS_MIN ? columns - label : MARKS_MIN, each = 1, rows = 0;

        if (map->n_blocks == 0 || max_rows <= legend)
                return 0;
        while (each < map->n_blocks && count_rows(map, each, width) > max_rows - legend)
                each *= 2;
        for (size_t at = 0; at < map->n_blocks && rows < max_rows - legend; rows++) {
                Group group = group_at(map, at);
                size_t n = group.n < each * width ? group.n : each * width;

                printf("%-*.*s %8" PRIu64 " ", LABEL_MAX, LABEL_MAX, map->names[group.blocks->device],
                       group.blocks->index);
                put_marks(group.blocks, n, each, colors);
                end_row(in_place);
                at += n;
        }
        if (legend > 0)
                put_legend(columns, each, in_place);
        return (unsigned) (rows + legend);
}
