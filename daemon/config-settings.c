/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The settings: their names, their defaults, what values they take. What a setting does is for those who are
 * given it. */
#include "config-settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/sysfs.h"
#include "util/text.h"

#define PROTECT_MAX 65536U
#define RETRIES_MAX 100U
#define SECOND UINT64_C(1000000)
#define ONLINE_RATIO_MAX 1000U
#define DEADLINE_MAX (7 * 86400 * SECOND)
#define PER_GIB_MAX (3600 * SECOND)
#define RETRY_DELAY_MAX (600 * SECOND)
#define PAUSE_MIN SECOND
#define PAUSE_MAX (86400 * SECOND)
#define HOOK_TIMEOUT_MIN (SECOND / 10)
#define HOOK_TIMEOUT_MAX (600 * SECOND)

Config config_default(void) {
        return (Config) {
                .source_acpi = CONFIG_SOURCE_YES,
                .source_virtio_mem = true,
                .source_balloon = CONFIG_SOURCE_YES,
                .virtio_serial = true,
                .virtio_serial_unplug = CONFIG_SOURCE_YES,
                .keep_free_bytes = UINT64_MAX,
                .pressure_limit = 20,
                .pressure_pause_usec = 30 * SECOND,
                .keep_node_memory = true,
                .online_ratio = 3,
                .deadline_usec = 60 * SECOND,
                .deadline_per_gib_usec = 10 * SECOND,
                .retries = 5,
                .retry_delay_usec = SECOND / 10,
                .retry_max_delay_usec = 5 * SECOND,
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

static int set_source(ConfigSource *field, ConfigSource standard, const char *value) {
        bool listen = standard != CONFIG_SOURCE_NO;
        int r;

        if (strcmp(value, "ask") == 0) {
                *field = CONFIG_SOURCE_ASK;
                return 0;
        }
        r = set_bool(&listen, listen, value);
        if (r >= 0)
                *field = !*value ? standard : listen ? CONFIG_SOURCE_YES : CONFIG_SOURCE_NO;
        return r;
}

static int set_acpi(Config *config, const char *value) {
        return set_source(&config->source_acpi, config_default().source_acpi, value);
}

static int set_virtio_mem(Config *config, const char *value) {
        return set_bool(&config->source_virtio_mem, config_default().source_virtio_mem, value);
}

static int set_balloon(Config *config, const char *value) {
        return set_source(&config->source_balloon, config_default().source_balloon, value);
}

/* What the hypervisor may do by its channel. Each word allows what the one before it does, and more. */
static int set_virtio_serial(Config *config, const char *value) {
        static const struct {
                const char *word;
                bool serve;
                ConfigSource unplug;
        } words[] = {
                { "no", false, CONFIG_SOURCE_NO },
                { "read", true, CONFIG_SOURCE_NO },
                { "ask", true, CONFIG_SOURCE_ASK },
                { "unplug", true, CONFIG_SOURCE_YES },
                { "", true, CONFIG_SOURCE_YES },
        };

        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
                if (strcmp(value, words[i].word) != 0)
                        continue;
                config->virtio_serial = words[i].serve;
                config->virtio_serial_unplug = words[i].unplug;
                return 0;
        }
        return -EINVAL;
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

/* "20%", "20", or "off". */
static int set_pressure_limit(Config *config, const char *value) {
        uint64_t percent = config_default().pressure_limit;
        size_t n = strlen(value);
        char digits[8] = "";
        int r = 0;

        if (strcmp(value, "off") == 0 || strcmp(value, "no") == 0) {
                config->pressure_limit = 0;
                return 0;
        }
        if (n > 0 && value[n - 1] == '%')
                n--;
        if (n >= sizeof(digits))
                return -EINVAL;
        memcpy(digits, value, n);
        if (*value)
                r = parse_u64(digits, 10, &percent);
        if (r < 0)
                return r;
        if (percent == 0 || percent > 100)
                return -ERANGE;
        config->pressure_limit = (uint32_t) percent;
        return 0;
}

static int set_pressure_pause(Config *config, const char *value) {
        return set_duration(&config->pressure_pause_usec, config_default().pressure_pause_usec, PAUSE_MIN,
                            PAUSE_MAX, value);
}

static int set_try_kernel_zones(Config *config, const char *value) {
        return set_bool(&config->try_kernel_zones, config_default().try_kernel_zones, value);
}

static int set_keep_node_memory(Config *config, const char *value) {
        return set_bool(&config->keep_node_memory, config_default().keep_node_memory, value);
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

static int set_retry_delay(Config *config, const char *value) {
        return set_duration(&config->retry_delay_usec, config_default().retry_delay_usec, 0, RETRY_DELAY_MAX,
                            value);
}

static int set_retry_max_delay(Config *config, const char *value) {
        return set_duration(&config->retry_max_delay_usec, config_default().retry_max_delay_usec, 0,
                            RETRY_DELAY_MAX, value);
}

static int set_order(Config *config, const char *value) {
        static const char *const words[] = {
                [CONFIG_ORDER_CHEAPEST] = "cheapest",
                [CONFIG_ORDER_HIGHEST] = "highest",
                [CONFIG_ORDER_LOWEST] = "lowest",
        };

        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
                if (*value && strcmp(value, words[i]) != 0)
                        continue;
                config->order = (ConfigOrder) i; /* the first is the default */
                return 0;
        }
        return -EINVAL;
}

/* Two words, of which the first is the default. */
static int set_choice(bool *field, const char *no, const char *yes, const char *value) {
        const bool chosen = strcmp(value, yes) == 0;

        if (!chosen && *value && strcmp(value, no) != 0)
                return -EINVAL;
        *field = chosen;
        return 0;
}

static int set_online_policy(Config *config, const char *value) {
        return set_choice(&config->online_movable, "no", "movable", value);
}

static int set_clean_cache(Config *config, const char *value) {
        return set_choice(&config->keep_cache, "drop", "keep", value);
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

static const ConfigSetting settings[] = {
        { "Sources", "Acpi", set_acpi },
        { "Sources", "VirtioMem", set_virtio_mem },
        { "Sources", "Balloon", set_balloon },
        { "Sources", "VirtioSerial", set_virtio_serial },
        { "Policy", "KeepFreeBytes", set_keep_free },
        { "Policy", "ProtectBlocks", set_protect_blocks },
        { "Policy", "ProtectNodes", set_protect_nodes },
        { "Policy", "PressureLimit", set_pressure_limit },
        { "Policy", "PressurePauseSec", set_pressure_pause },
        { "Policy", "TryKernelZones", set_try_kernel_zones },
        { "Policy", "KeepNodeMemory", set_keep_node_memory },
        { "Policy", "OnlinePolicy", set_online_policy },
        { "Policy", "OnlineMovableRatio", set_online_ratio },
        { "Unplug", "DeadlineSec", set_deadline },
        { "Unplug", "DeadlinePerGiBSec", set_deadline_per_gib },
        { "Unplug", "Retries", set_retries },
        { "Unplug", "RetryDelaySec", set_retry_delay },
        { "Unplug", "RetryMaxDelaySec", set_retry_max_delay },
        { "Unplug", "Order", set_order },
        { "Unplug", "CleanCache", set_clean_cache },
        { "Unplug", "HookTimeoutSec", set_hook_timeout },
};

bool config_section_exists(const char *name) {
        for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
                if (strcmp(settings[i].section, name) == 0)
                        return true;
        return false;
}

const ConfigSetting *config_setting_find(const char *section, const char *key) {
        for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
                if (strcmp(settings[i].section, section) == 0 && strcmp(settings[i].key, key) == 0)
                        return &settings[i];
        return NULL;
}
