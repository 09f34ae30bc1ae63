/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration: which files, in which order. What a line sets is config-settings.c's. Nothing in a file
 * is fatal: a line that cannot be understood is named and skipped. */
#include "config.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "config-lines.h"
#include "config-settings.h"
#include "util/array.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "util/message-ids.h"
#include "util/sysfs.h"

#define FILE_SIZE_MAX (1024U * 1024U)
#define MAIN_FILE "memunplugd.conf"

/* In order of precedence. */
static const char *const directories[] = {
        "etc/memunplug",
        "run/memunplug",
        "usr/local/lib/memunplug",
        "usr/lib/memunplug",
};

static void __attribute__((format(printf, 3, 4)))
warn(const char *path, unsigned line, const char *format, ...) {
        char text[512], file_field[PATH_MAX + 16], line_field[32];
        const char *fields[] = { "MESSAGE_ID=" MEMUNPLUG_MESSAGE_CONFIG_INVALID, file_field, line_field,
                                 NULL };
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        (void) snprintf(file_field, sizeof(file_field), "CONFIG_FILE=%s", path);
        (void) snprintf(line_field, sizeof(line_field), "CONFIG_LINE=%u", line);
        (void) log_full(LOG_WARNING, 0, fields, "%s:%u: %s, ignoring", path, line, text);
}

static int assign(Config *config, const char *path, const ConfigLine *line) {
        const ConfigSetting *setting;
        int r;

        if (!*line->section) {
                warn(path, line->number, "Assignment outside of a section");
                return 0;
        }
        if (!config_section_exists(line->section)) /* named once, at its head */
                return 0;
        setting = config_setting_find(line->section, line->key);
        if (!setting) {
                warn(path, line->number, "Unknown key '%s' in section [%s]", line->key, line->section);
                return 0;
        }
        r = setting->set(config, line->value);
        if (r == -ENOMEM)
                return r;
        if (r == -ERANGE || r == -E2BIG)
                warn(path, line->number, "Value '%s' of %s= is out of range", line->value, line->key);
        else if (r < 0)
                warn(path, line->number, "Cannot understand '%s' for %s=", line->value, line->key);
        return 0;
}

int config_parse(Config *config, const char *path, const char *text, size_t n) {
        CLEANUP(config_lines_freep) ConfigLines *lines = NULL;
        ConfigLine line;
        int r;

        r = config_lines_new(&lines, text, n);
        while (r >= 0 && (r = config_lines_next(lines, &line)) != 0) {
                switch (line.kind) {
                case CONFIG_LINE_SECTION:
                        if (!config_section_exists(line.section))
                                warn(path, line.number, "Unknown section [%s]", line.section);
                        break;
                case CONFIG_LINE_ASSIGNMENT:
                        r = assign(config, path, &line);
                        break;
                case CONFIG_LINE_BAD:
                        warn(path, line.number, "%s", line.value);
                        break;
                }
                if (r < 0)
                        return r;
        }
        return r;
}

/* Parses a file if it is one. 0 also if it is there, but is no file or cannot be read; -ENOENT if it is not.
 */
static int load_file(Config *config, int root_fd, const char *path) {
        CLEANUP(freep) char *text = NULL;
        char shown[PATH_MAX];
        struct stat st;
        size_t n;
        int r;

        (void) snprintf(shown, sizeof(shown), "/%s", path);
        /* Looked at first: to open a FIFO would wait. A link to /dev/null is the way to say "nothing". */
        if (fstatat(root_fd, path, &st, 0) < 0)
                r = -errno;
        else if (S_ISCHR(st.st_mode))
                return 0;
        else
                r = S_ISREG(st.st_mode) ? sysfs_read_all(root_fd, path, FILE_SIZE_MAX, &text, &n) : -EINVAL;
        if (r == -ENOENT || r == -ENOTDIR || r == -ENOMEM)
                return r == -ENOTDIR ? -ENOENT : r;
        if (r < 0) {
                (void) log_warning_errno(r, "Cannot read %s: %m, ignoring", shown);
                return 0;
        }
        return config_parse(config, shown, text, n);
}

typedef struct DropIn {
        char name[NAME_MAX + 1];
        unsigned directory; /* index into directories: the first that has this name */
} DropIn;

typedef struct DropIns {
        DropIn *items;
        size_t n, allocated;
} DropIns;

DEFINE_CLEANUP(DIR *, closedir)

static void drop_ins_clear(DropIns *d) {
        free(d->items);
}

static int drop_ins_add(DropIns *d, const char *name, unsigned directory) {
        for (size_t i = 0; i < d->n; i++)
                if (strcmp(d->items[i].name, name) == 0)
                        return 0;
        if (ARRAY_RESERVE(d->items, d->n, &d->allocated, 8) < 0)
                return -ENOMEM;
        d->items[d->n].directory = directory;
        (void) snprintf(d->items[d->n++].name, NAME_MAX + 1, "%s", name); /* a name is not longer */
        return 0;
}

static bool is_drop_in(const char *name) {
        size_t n = strlen(name);

        return name[0] != '.' && n > 5 && strcmp(name + n - 5, ".conf") == 0;
}

static int drop_ins_list(DropIns *d, int root_fd, unsigned directory) {
        CLEANUP(closep) int fd = -1;
        CLEANUP(closedirp) DIR *dir = NULL;
        struct dirent *entry;
        char path[128];

        (void) snprintf(path, sizeof(path), "%s/" MAIN_FILE ".d", directories[directory]);
        fd = openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
                return 0;
        dir = fd < 0 ? NULL : fdopendir(fd);
        if (!dir) {
                (void) log_warning_errno(-errno, "Cannot read /%s: %m, ignoring", path);
                return 0;
        }
        (void) steal_fd(&fd); /* the stream has it now */
        while ((entry = readdir(dir)))
                if (is_drop_in(entry->d_name)) {
                        int r = drop_ins_add(d, entry->d_name, directory);

                        if (r < 0)
                                return r;
                }
        return 0;
}

static int compare_drop_ins(const void *a, const void *b) {
        return strcmp(((const DropIn *) a)->name, ((const DropIn *) b)->name);
}

/* By file name over all directories; of equal names, that of the directory that comes first. */
static int load_drop_ins(Config *config, int root_fd) {
        CLEANUP(drop_ins_clear) DropIns d = {};
        int r;

        for (unsigned i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
                r = drop_ins_list(&d, root_fd, i);
                if (r < 0)
                        return r;
        }
        if (d.n > 0)
                qsort(d.items, d.n, sizeof(*d.items), compare_drop_ins);
        for (size_t i = 0; i < d.n; i++) {
                char path[128 + NAME_MAX + 1];

                (void) snprintf(path, sizeof(path), "%s/" MAIN_FILE ".d/%s",
                                directories[d.items[i].directory], d.items[i].name);
                r = load_file(config, root_fd, path);
                if (r < 0 && r != -ENOENT) /* gone in between, or a link to nothing */
                        return r;
        }
        return 0;
}

int config_load(int root_fd, Config *ret) {
        CLEANUP(config_clear) Config config = config_default();
        int r = -ENOENT;

        for (size_t i = 0; r == -ENOENT && i < sizeof(directories) / sizeof(directories[0]); i++) {
                char path[128];

                (void) snprintf(path, sizeof(path), "%s/" MAIN_FILE, directories[i]);
                r = load_file(&config, root_fd, path);
        }
        if (r < 0 && r != -ENOENT)
                return r;
        r = load_drop_ins(&config, root_fd);
        if (r < 0)
                return r;
        *ret = config;
        config = (Config) {};
        return 0;
}

void config_clear(Config *config) {
        free(config->protected_blocks);
        free(config->protected_nodes);
        free(config->user);
        *config = (Config) {};
}
