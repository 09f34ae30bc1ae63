/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A demand: somebody asks for memory to go or to come back. Everything below the
 * sources and fronts sees demands only, and does not care who asked. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEMAND_BLOCKS_MAX 4096U /* blocks that one demand may list */
#define DEMAND_NAME_SIZE 64U
#define DEMAND_CALLER_SIZE 64U

typedef enum Source {
        SOURCE_ACPI,
        SOURCE_BALLOON,
        SOURCE_VIRTIO_MEM,
        SOURCE_OPERATOR,
        _SOURCE_MAX,
        _SOURCE_INVALID = -EINVAL,
} Source;

typedef enum DemandKind {
        DEMAND_UNPLUG,
        DEMAND_REPLUG,
        _DEMAND_MAX,
        _DEMAND_INVALID = -EINVAL,
} DemandKind;

/* What is asked for: exactly one of size, blocks, device is set; or a node, alone (all of it that may go, or
 * is offline) or with a size. */
typedef struct Demand {
        DemandKind kind;
        Source source;
        uint64_t size_bytes;               /* 0: not by size */
        uint64_t most_used_bytes;          /* by size: no block with more in use, or unknown; 0: any */
        uint32_t *blocks;                  /* block indices, as asked, may repeat; owned */
        size_t n_blocks;                   /* 0: not by blocks */
        char device[DEMAND_NAME_SIZE];     /* "": not by device */
        bool by_node;                      /* only memory of this NUMA node: */
        uint32_t node;
        uint64_t deadline_usec;            /* from acceptance; 0: the configured default */
        bool allow_partial;
        bool ask;                          /* an operator has to confirm it, whatever the policy */
        char caller[DEMAND_CALLER_SIZE];   /* who asked, for people: "uid 0", "platform" */
} Demand;

const char *source_to_string(Source source);
const char *demand_kind_to_string(DemandKind kind);

int demand_copy(const Demand *demand, Demand *ret);
void demand_clear(Demand *demand);
