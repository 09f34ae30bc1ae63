/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the table of blocks shows. */
#include "memory/doctor.h"

#include <inttypes.h>
#include <stdio.h>

#include "memory/online.h"
#include "util/index-list.h"
#include "util/text.h"

#define MEMORY "/sys/devices/system/memory"
/* More than three times as much movable memory as other: the kernel may run out of memory for itself while
 * plenty is free (the kernel's own documentation, "Memory Hot(Un)Plug"). */
#define RATIO_MAX UINT64_C(3)

/* Blocks of one device that are online where kernel data may be. */
typedef struct Outside {
        uint32_t n;
        const Block *first;
} Outside;

static Outside outside_movable(const BlockTable *table, size_t device) {
        Outside outside = {};

        for (size_t i = 0; i < table->n_blocks; i++) {
                const Block *block = &table->blocks[i];

                if (block->device != device || block->state != BLOCK_ONLINE || block->zone == ZONE_MOVABLE)
                        continue;
                if (outside.n++ == 0)
                        outside.first = block;
        }
        return outside;
}

static int check_zone(Findings *findings, const BlockTable *table, size_t i) {
        const Device *device = &table->devices[i];
        Outside outside = outside_movable(table, i);
        char file[128];

        if (outside.n == 0)
                return 0;
        (void) snprintf(file, sizeof(file), MEMORY "/memory%" PRIu32 "/valid_zones", outside.first->index);
        return findings_add(
                findings, SEVERITY_PROBLEM, "zone", file, zone_to_string(outside.first->zone) ?: "several",
                "Bring hot-plugged memory online as movable: memhp_default_state=online_movable on the "
                "kernel's "
                "command line; what is online already needs to be taken offline and brought back so.",
                "%s has %" PRIu32 " of %" PRIu32 " blocks outside of zone Movable: kernel data in "
                "them does not move",
                device->name, outside.n, device->n_blocks);
}

static int check_protected(Findings *findings, const BlockTable *table, const GuardPolicy *policy,
                           size_t i) {
        const Device *device = &table->devices[i];
        char value[32];

        for (size_t k = 0; policy->n_protected > 0 && k < table->n_blocks; k++) {
                if (table->blocks[k].device != i ||
                    !index_list_contains(policy->protected_blocks, policy->n_protected,
                                         table->blocks[k].index))
                        continue;
                (void) snprintf(value, sizeof(value), "ProtectBlocks= %" PRIu32, table->blocks[k].index);
                return findings_add(
                        findings, SEVERITY_WARNING, "protected", "/etc/memunplug/memunplugd.conf", value,
                        "Take its blocks out of ProtectBlocks= if it should be able to go.",
                        "%s cannot go as a whole: block %" PRIu32 " is protected by configuration",
                        device->name, table->blocks[k].index);
        }
        return 0;
}

static int check_ratio(Findings *findings, const BlockTable *table) {
        char movable_text[FORMAT_SIZE_MAX], other_text[FORMAT_SIZE_MAX], value[96];
        const OnlineTotals online = online_totals(table);

        (void) snprintf(value, sizeof(value), "%s in Movable, %s in other zones",
                        format_size(online.movable_bytes, movable_text),
                        format_size(online.other_bytes, other_text));
        if (online.movable_bytes == 0)
                return findings_add(findings, SEVERITY_PROBLEM, "movable", MEMORY "/memory*/valid_zones",
                                    value,
                                    "Give the machine memory that is hot-plugged, and bring it online as "
                                    "movable.",
                                    "no memory is in zone Movable: hardly anything can be removed");
        if (online.movable_bytes / RATIO_MAX <= online.other_bytes)
                return 0;
        return findings_add(
                findings, SEVERITY_WARNING, "ratio", MEMORY "/memory*/valid_zones", value,
                "Bring some of it online for the kernel, or give the machine more memory at boot.",
                "more than three times as much memory is in zone Movable as in the others: the "
                "kernel may run out of memory for itself, and then nothing can move either");
}

int doctor_blocks(Findings *findings, const BlockTable *table, const GuardPolicy *policy) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < table->n_devices; i++) {
                if (table->devices[i].kind == DEVICE_BOOT)
                        continue;
                if (table->devices[i].kind == DEVICE_ACPI_DIMM)
                        r = check_zone(findings, table, i);
                if (r >= 0)
                        r = check_protected(findings, table, policy, i);
        }
        return r < 0 ? r : check_ratio(findings, table);
}
