/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration files memunplug/memunplugd.conf and its drop-ins, merged into one struct. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether a source is listened to. */
typedef enum ConfigSource {
        CONFIG_SOURCE_NO,
        CONFIG_SOURCE_ASK, /* and an operator has to confirm what it asks for */
        CONFIG_SOURCE_YES,
} ConfigSource;

/* Which blocks a size is taken from first. */
typedef enum ConfigOrder { CONFIG_ORDER_CHEAPEST, CONFIG_ORDER_HIGHEST, CONFIG_ORDER_LOWEST } ConfigOrder;

typedef struct Config {
        ConfigSource source_acpi;       /* [Sources] Acpi= */
        bool source_virtio_mem;         /* [Sources] VirtioMem= */
        ConfigSource source_balloon;    /* [Sources] Balloon= */
        bool virtio_serial;             /* [Sources] VirtioSerial=: anything but no */
        ConfigSource virtio_serial_unplug; /* [Sources] VirtioSerial=: ask, unplug; or neither */
        uint64_t keep_free_bytes;       /* [Policy] KeepFreeBytes=; UINT64_MAX: default floor */
        uint32_t *protected_blocks;     /* [Policy] ProtectBlocks=; sorted */
        size_t n_protected_blocks;
        uint32_t *protected_nodes;      /* [Policy] ProtectNodes=; sorted */
        size_t n_protected_nodes;
        uint32_t pressure_limit;        /* [Policy] PressureLimit=, percent; 0: off */
        uint64_t pressure_pause_usec;   /* [Policy] PressurePauseSec= */
        bool try_kernel_zones;          /* [Policy] TryKernelZones= */
        bool keep_node_memory;          /* [Policy] KeepNodeMemory= */
        bool online_movable;            /* [Policy] OnlinePolicy=movable */
        uint32_t online_ratio;          /* [Policy] OnlineMovableRatio= */
        uint64_t deadline_usec;         /* [Unplug] DeadlineSec= */
        uint64_t deadline_per_gib_usec; /* [Unplug] DeadlinePerGiBSec= */
        uint32_t retries;               /* [Unplug] Retries= */
        uint64_t retry_delay_usec;      /* [Unplug] RetryDelaySec= */
        uint64_t retry_max_delay_usec;  /* [Unplug] RetryMaxDelaySec= */
        ConfigOrder order;              /* [Unplug] Order= */
        bool keep_cache;                /* [Unplug] CleanCache=keep */
        uint64_t hook_timeout_usec;     /* [Unplug] HookTimeoutSec= */
        char *user;                     /* run as, if started as root; command line only */
} Config;

/* Defaults, then the main file (first found of the four directories), then drop-ins in order of file name.
 * root_fd: the root directory. What cannot be understood is logged with file and line, and ignored. */
int config_load(int root_fd, Config *ret);
void config_clear(Config *config);

/* One file's text, for tests and fuzzing. path is for messages only. */
int config_parse(Config *config, const char *path, const char *text, size_t n);
