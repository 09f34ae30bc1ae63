/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration: which files, in which order, and what their lines set. What a setting does is for
 * those who are given it. Nothing in a file is fatal: a line that cannot be understood is named and skipped.
 */
#include "config.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "config-lines.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "util/sysfs.h"
#include "util/text.h"

#define FILE_SIZE_MAX (1024U * 1024U)
#define MAIN_FILE "memunplugd.conf"
#define PROTECT_MAX 65536U
#define RETRIES_MAX 100U
#define SECOND UINT64_C(1000000)
#define ONLINE_RATIO_MAX 1000U
#define DEADLINE_MAX (7 * 86400 * SECOND)
#define PER_GIB_MAX (3600 * SECOND)
#define HOOK_TIMEOUT_MIN (SECOND / 10)
#define HOOK_TIMEOUT_MAX (600 * SECOND)

/* In order of precedence. */
static const char *const directories[] = {
        "etc/memunplug",
        "run/memunplug",
        "usr/local/lib/memunplug",
        "usr/lib/memunplug",
};

typedef struct Setting {
        const char *section;
        const char *key;
        int (*set)(Config *config, const char *value); /* value "": back to the default */
} Setting;

static Config config_default(void) {
        return (Config) {
                .source_acpi = true,
                .virtio_serial = true,
                .virtio_serial_unplug = true,
                .keep_free_bytes = UINT64_MAX,
                .keep_node_memory = true,
                .online_ratio = 3,
                .deadline_usec = 60 * SECOND,
                .deadline_per_gib_usec = 10 * SECOND,
                .retries = 5,
                .hook_timeout_usec = 10 * SECOND,
        };
}

static int set_bool(bool *field, bool standard, const char *value) {
        int r = *value ? parse_boolean(value) : standard;

        if (r < 0)
                return r;
        *field = r > 0;
        return 0;
}

static int set_duration(uint64_t *field, uint64_t standard, uint64_t min, uint64_t max, const char *value) {
        uint64_t usec = standard;
        int r = *value ? parse_duration(value, &usec) : 0;

        if (r < 0)
                return r;
        if (usec < min || usec > max)
                return -ERANGE;
        *field = usec;
        return 0;
}

static int set_acpi(Config *config, const char *value) {
        return set_bool(&config->source_acpi, config_default().source_acpi, value);
}

/* What the hypervisor may do by its channel. Each word allows what the one before it does, and more. */
static int set_virtio_serial(Config *config, const char *value) {
        const bool unplug = !*value || strcmp(value, "unplug") == 0, read = strcmp(value, "read") == 0;

        if (!unplug && !read && strcmp(value, "no") != 0)
                return -EINVAL;
        config->virtio_serial = unplug || read;
        config->virtio_serial_unplug = unplug;
        return 0;
}

static int set_keep_free(Config *config, const char *value) {
        uint64_t bytes = config_default().keep_free_bytes;
        int r = *value ? parse_size(value, &bytes) : 0;

        if (r < 0)
                return r;
        if (*value && bytes > INT64_MAX) /* the largest values have a meaning of their own */
                return -ERANGE;
        config->keep_free_bytes = bytes;
        return 0;
}

static int set_try_kernel_zones(Config *config, const char *value) {
        return set_bool(&config->try_kernel_zones, config_default().try_kernel_zones, value);
}

static int set_keep_node_memory(Config *config, const char *value) {
        return set_bool(&config->keep_node_memory, config_default().keep_node_memory, value);
}

static int set_online_policy(Config *config, const char *value) {
        const bool movable = strcmp(value, "movable") == 0;

        if (!movable && *value && strcmp(value, "no") != 0)
                return -EINVAL;
        config->online_movable = movable;
        return 0;
}

static int set_online_ratio(Config *config, const char *value) {
        uint64_t n = config_default().online_ratio;
        int r = *value ? parse_u64(value, 10, &n) : 0;

        if (r < 0)
                return r;
        if (n == 0 || n > ONLINE_RATIO_MAX)
                return -ERANGE;
        config->online_ratio = (uint32_t) n;
        return 0;
}

static int set_deadline(Config *config, const char *value) {
        return set_duration(&config->deadline_usec, config_default().deadline_usec, SECOND, DEADLINE_MAX,
                            value);
}

static int set_deadline_per_gib(Config *config, const char *value) {
        return set_duration(&config->deadline_per_gib_usec, config_default().deadline_per_gib_usec, 0,
                            PER_GIB_MAX, value);
}

static int set_retries(Config *config, const char *value) {
        uint64_t n = config_default().retries;
        int r = *value ? parse_u64(value, 10, &n) : 0;

        if (r < 0)
                return r;
        if (n > RETRIES_MAX)
                return -ERANGE;
        config->retries = (uint32_t) n;
        return 0;
}

static int set_hook_timeout(Config *config, const char *value) {
        return set_duration(&config->hook_timeout_usec, config_default().hook_timeout_usec, HOOK_TIMEOUT_MIN,
                            HOOK_TIMEOUT_MAX, value);
}

/* Both sorted; the result is, too, and has each block once. */
static size_t merge_blocks(const uint32_t *a, size_t n_a, const uint32_t *b, size_t n_b, uint32_t *out) {
        size_t i = 0, k = 0, n = 0;

        while (i < n_a || k < n_b) {
                if (k >= n_b || (i < n_a && a[i] < b[k]))
                        out[n++] = a[i++];
                else {
                        if (i < n_a && a[i] == b[k])
                                i++;
                        out[n++] = b[k++];
                }
        }
        return n;
}

/* A list adds to what was there, so that a drop-in can protect more; the empty list starts anew. */
static int set_list(uint32_t **list, size_t *n_list, const char *value) {
        CLEANUP(freep) uint32_t *more = NULL, *all = NULL;
        size_t n_more, n;
        int r;

        if (!*value) {
                free(*list);
                *list = NULL;
                *n_list = 0;
                return 0;
        }
        r = parse_block_list(value, PROTECT_MAX, &more, &n_more);
        if (r < 0)
                return r;
        all = calloc(*n_list + n_more, sizeof(*all));
        if (!all)
                return -ENOMEM;
        n = merge_blocks(*list, *n_list, more, n_more, all);
        if (n > PROTECT_MAX)
                return -E2BIG;
        free(*list);
        *list = STEAL_PTR(all);
        *n_list = n;
        return 0;
}

static int set_protect_blocks(Config *config, const char *value) {
        return set_list(&config->protected_blocks, &config->n_protected_blocks, value);
}

static int set_protect_nodes(Config *config, const char *value) {
        return set_list(&config->protected_nodes, &config->n_protected_nodes, value);
}

static const Setting settings[] = {
        { "Sources", "Acpi", set_acpi },
        { "Sources", "VirtioSerial", set_virtio_serial },
        { "Policy", "KeepFreeBytes", set_keep_free },
        { "Policy", "ProtectBlocks", set_protect_blocks },
        { "Policy", "ProtectNodes", set_protect_nodes },
        { "Policy", "TryKernelZones", set_try_kernel_zones },
        { "Policy", "KeepNodeMemory", set_keep_node_memory },
        { "Policy", "OnlinePolicy", set_online_policy },
        { "Policy", "OnlineMovableRatio", set_online_ratio },
        { "Unplug", "DeadlineSec", set_deadline },
        { "Unplug", "DeadlinePerGiBSec", set_deadline_per_gib },
        { "Unplug", "Retries", set_retries },
        { "Unplug", "HookTimeoutSec", set_hook_timeout },
};

static void __attribute__((format(printf, 3, 4)))
warn(const char *path, unsigned line, const char *format, ...) {
        char text[512], file_field[PATH_MAX + 16], line_field[32];
        const char *fields[] = { file_field, line_field, NULL };
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        (void) snprintf(file_field, sizeof(file_field), "CONFIG_FILE=%s", path);
        (void) snprintf(line_field, sizeof(line_field), "CONFIG_LINE=%u", line);
        (void) log_full(LOG_WARNING, 0, fields, "%s:%u: %s, ignoring", path, line, text);
}

static bool is_section(const char *name) {
        for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
                if (strcmp(settings[i].section, name) == 0)
                        return true;
        return false;
}

static const Setting *find_setting(const char *section, const char *key) {
        for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
                if (strcmp(settings[i].section, section) == 0 && strcmp(settings[i].key, key) == 0)
                        return &settings[i];
        return NULL;
}

static int assign(Config *config, const char *path, const ConfigLine *line) {
        const Setting *setting;
        int r;

        if (!*line->section) {
                warn(path, line->number, "Assignment outside of a section");
                return 0;
        }
        if (!is_section(line->section)) /* named once, at its head */
                return 0;
        setting = find_setting(line->section, line->key);
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
                        if (!is_section(line.section))
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
        if (d->n >= d->allocated) {
                size_t bigger = d->allocated ? 2 * d->allocated : 8;
                DropIn *items = reallocarray(d->items, bigger, sizeof(*items));

                if (!items)
                        return -ENOMEM;
                d->items = items;
                d->allocated = bigger;
        }
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
