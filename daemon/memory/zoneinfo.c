/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each zone has, and what the kernel keeps of it. What that leaves for pages that must move is for
 * removal.c. */
#include "memory/zoneinfo.h"

#include <stdlib.h>
#include <string.h>

#include "memory/block-text.h"
#include "util/array.h"
#include "util/cleanup.h"
#include "util/sysfs.h"

/* Counters of one zone, pages. Those of a node stand in its first zone. */
typedef enum Counter {
        COUNTER_FREE,
        COUNTER_LOW,
        COUNTER_HIGH,
        COUNTER_MANAGED,
        COUNTER_INACTIVE_FILE,
        COUNTER_ACTIVE_FILE,
        COUNTER_SLAB,
        _COUNTER_MAX,
} Counter;

static const char *const counter_names[_COUNTER_MAX] = {
        [COUNTER_FREE] = "pages free",
        [COUNTER_LOW] = "low",
        [COUNTER_HIGH] = "high",
        [COUNTER_MANAGED] = "managed",
        [COUNTER_INACTIVE_FILE] = "nr_zone_inactive_file",
        [COUNTER_ACTIVE_FILE] = "nr_zone_active_file",
        [COUNTER_SLAB] = "nr_slab_reclaimable",
};

#define SEEN(counter) (1U << (counter))
#define SEEN_ALL_NEEDED \
        (SEEN(COUNTER_FREE) | SEEN(COUNTER_LOW) | SEEN(COUNTER_HIGH) | SEEN(COUNTER_MANAGED))

typedef struct Section {
        bool open;
        int node;
        Zone zone;
        unsigned seen;
        uint64_t pages[_COUNTER_MAX];
        uint64_t kept; /* pages that the kernel keeps from those who could use a higher zone */
} Section;

typedef struct Parse {
        uint64_t page_size;
        Section section;
        ZoneRoom *zones;
        size_t n, allocated;
} Parse;

/* Digits up to the end, behind blanks. */
static int parse_pages(const char *text, uint64_t page_size, uint64_t *ret) {
        uint64_t pages;

        if (parse_u64(text + strspn(text, " "), 10, &pages) < 0 || pages > (UINT64_MAX >> 8) / page_size)
                return -EBADMSG; /* sums of some of them must not wrap */
        *ret = pages;
        return 0;
}

/* "Node 0, zone    DMA32" */
static int parse_head(char *line, Section *ret) {
        static const char separator[] = ", zone";
        Section section = { .open = true };
        char *end = strstr(line, separator);
        uint32_t node;

        if (!end)
                return -EBADMSG;
        *end = '\0';
        line[4] = '_'; /* the blank behind "Node" */
        if (numbered_name_parse(line, "Node_", &node) < 0 || node > INT32_MAX)
                return -EBADMSG;
        end += strlen(separator);
        section.node = (int) node;
        section.zone = block_zone_parse(end + strspn(end, " "));
        *ret = section;
        return 0;
}

/* "protection: (0, 3018, 5834)": by the highest zone that one could have used instead. The largest counts,
 * as in the kernel's own sum of what it keeps. */
static int parse_protection(char *text, uint64_t page_size, uint64_t *ret) {
        char *end = strchr(text, ')'), *save = NULL;
        uint64_t largest = 0;

        text += strspn(text, " ");
        if (*text != '(' || !end || end[1])
                return -EBADMSG;
        *end = '\0';
        for (char *word = strtok_r(text + 1, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
                uint64_t pages;

                if (parse_pages(word, page_size, &pages) < 0)
                        return -EBADMSG;
                if (pages > largest)
                        largest = pages;
        }
        *ret = largest;
        return 0;
}

static int parse_counter(Section *section, char *line, uint64_t page_size) {
        static const char protection[] = "protection:";

        if (strncmp(line, protection, strlen(protection)) == 0)
                return parse_protection(line + strlen(protection), page_size, &section->kept);
        for (Counter i = 0; i < _COUNTER_MAX; i++) {
                size_t n = strlen(counter_names[i]);

                if (strncmp(line, counter_names[i], n) != 0 || line[n] != ' ')
                        continue;
                if (section->seen & SEEN(i))
                        return -EBADMSG;
                section->seen |= SEEN(i);
                return parse_pages(line + n, page_size, &section->pages[i]);
        }
        return 0; /* there are many more */
}

static bool is_after(const Section *section, const ZoneRoom *last) {
        return section->node > last->node || (section->node == last->node && section->zone > last->zone);
}

/* A zone without memory has its lines, too, but never those of its node. */
static int end_section(Parse *parse) {
        const Section *s = &parse->section;
        uint64_t used;

        if (!s->open)
                return 0;
        if ((s->seen & SEEN_ALL_NEEDED) != SEEN_ALL_NEEDED)
                return -EBADMSG;
        if (s->pages[COUNTER_MANAGED] == 0 || s->zone == ZONE_NONE || s->zone == ZONE_DEVICE)
                return 0;
        if (parse->n >= ZONEINFO_ZONES_MAX || (parse->n > 0 && !is_after(s, &parse->zones[parse->n - 1])))
                return -EBADMSG;
        if (ARRAY_RESERVE(parse->zones, parse->n, &parse->allocated, 16) < 0)
                return -ENOMEM;
        used = s->pages[COUNTER_MANAGED] > s->pages[COUNTER_FREE]
                       ? s->pages[COUNTER_MANAGED] - s->pages[COUNTER_FREE]
                       : 0;
        parse->zones[parse->n++] = (ZoneRoom) {
                .node = s->node,
                .zone = s->zone,
                .free_bytes = s->pages[COUNTER_FREE] * parse->page_size,
                .used_bytes = used * parse->page_size,
                .low_bytes = s->pages[COUNTER_LOW] * parse->page_size,
                .kept_bytes = (s->pages[COUNTER_HIGH] + s->kept) * parse->page_size,
                .file_bytes = (s->pages[COUNTER_INACTIVE_FILE] + s->pages[COUNTER_ACTIVE_FILE]) *
                              parse->page_size,
                .slab_bytes = s->pages[COUNTER_SLAB] * parse->page_size,
        };
        return 0;
}

static int parse_line(Parse *parse, char *line) {
        int r;

        if (strncmp(line, "Node ", strlen("Node ")) == 0) {
                r = end_section(parse);
                return r < 0 ? r : parse_head(line, &parse->section);
        }
        if (!parse->section.open)
                return -EBADMSG;
        return parse_counter(&parse->section, line + strspn(line, " "), parse->page_size);
}

int zoneinfo_parse(char *text, uint64_t page_size, ZoneRoom **ret, size_t *ret_n) {
        Parse parse = { .page_size = page_size };
        char *save = NULL;
        int r = 0;

        for (char *line = strtok_r(text, "\n", &save); r >= 0 && line; line = strtok_r(NULL, "\n", &save))
                r = parse_line(&parse, line);
        if (r >= 0)
                r = end_section(&parse);
        if (r >= 0 && parse.n == 0)
                r = -EBADMSG;
        if (r < 0) {
                free(parse.zones);
                return r;
        }
        *ret = parse.zones;
        *ret_n = parse.n;
        return 0;
}
