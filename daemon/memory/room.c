/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What memory the machine has at the moment, from /proc/meminfo. Whether that is enough is for guard.c. */
#include "memory/room.h"

#include <string.h>

#include "util/sysfs.h"

/* "MemFree:         1234 kB" */
static int find_value(const char *text, const char *key, uint64_t *ret) {
        size_t n = strlen(key);
        char digits[24];

        for (const char *line = text; line; line = strchr(line, '\n')) {
                size_t length;
                uint64_t value;

                if (*line == '\n')
                        line++;
                if (strncmp(line, key, n) != 0 || line[n] != ':')
                        continue;
                line += n + 1;
                line += strspn(line, " \t");
                length = strspn(line, "0123456789");
                if (length == 0 || length >= sizeof(digits) || strncmp(line + length, " kB", 3) != 0)
                        return -EBADMSG;
                memcpy(digits, line, length);
                digits[length] = 0;
                if (parse_u64(digits, 10, &value) < 0 || value > UINT64_MAX / 1024)
                        return -EBADMSG;
                *ret = value * 1024;
                return 0;
        }
        return -EBADMSG;
}

int meminfo_parse(const char *text, MemoryRoom *ret) {
        MemoryRoom room;

        if (find_value(text, "MemTotal", &room.total_bytes) < 0 ||
            find_value(text, "MemFree", &room.free_bytes) < 0 ||
            find_value(text, "MemAvailable", &room.available_bytes) < 0)
                return -EBADMSG;
        if (find_value(text, "SwapFree", &room.swap_free_bytes) < 0)
                room.swap_free_bytes = 0; /* a kernel without swap */
        *ret = room;
        return 0;
}

int memory_room_read(int root_fd, MemoryRoom *ret) {
        char text[2 * SYSFS_TEXT_MAX];
        int r;

        r = sysfs_read(root_fd, "proc/meminfo", text, sizeof(text));
        if (r < 0)
                return r == -EFBIG ? -EBADMSG : r;
        return meminfo_parse(text, ret);
}
