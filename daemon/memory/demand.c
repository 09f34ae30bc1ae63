/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of demands, and copies that own what they hold. Whether a demand can be met is for
 * plan.c. */
#include "memory/demand.h"

#include <stdlib.h>
#include <string.h>

const char *source_to_string(Source source) {
        switch (source) {
        case SOURCE_ACPI:
                return "acpi";
        case SOURCE_BALLOON:
                return "balloon";
        case SOURCE_VIRTIO_MEM:
                return "virtio_mem";
        case SOURCE_OPERATOR:
                return "operator";
        case _SOURCE_MAX:
        case _SOURCE_INVALID:
                break;
        }
        return NULL;
}

const char *demand_kind_to_string(DemandKind kind) {
        switch (kind) {
        case DEMAND_UNPLUG:
                return "unplug";
        case DEMAND_REPLUG:
                return "replug";
        case _DEMAND_MAX:
        case _DEMAND_INVALID:
                break;
        }
        return NULL;
}

int demand_copy(const Demand *demand, Demand *ret) {
        Demand copy = *demand;

        if (demand->n_blocks > DEMAND_BLOCKS_MAX)
                return -E2BIG;
        copy.blocks = NULL;
        if (demand->n_blocks > 0) {
                copy.blocks = calloc(demand->n_blocks, sizeof(*copy.blocks));
                if (!copy.blocks)
                        return -ENOMEM;
                memcpy(copy.blocks, demand->blocks, demand->n_blocks * sizeof(*copy.blocks));
        }
        *ret = copy;
        return 0;
}

void demand_clear(Demand *demand) {
        free(demand->blocks);
        *demand = (Demand) {};
}
