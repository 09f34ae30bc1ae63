/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starts and ends the sources by the configuration. What each does is source/'s. */
#include "sources.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "source/acpi.h"
#include "util/cleanup.h"
#include "util/log.h"

struct Sources {
        OperationContext *context;
        AcpiSource *acpi;
};

DEFINE_CLEANUP(Sources *, sources_free)

static const char *acpi_reason(int error) {
        switch (-error) {
        case EOPNOTSUPP:
                return "the kernel module is not there: the kernel tries eject requests by itself";
        case ENODEV:
                return "this machine has no ACPI memory devices";
        case EBUSY:
                return "another process holds the gate of the kernel module";
        }
        return strerror(-error);
}

/* Without the module or ACPI memory devices there is nothing to listen to: noted, not fatal. */
static int start_acpi(Sources *sources, const Config *config) {
        OperationContext *context = sources->context;
        OperationSource *state = &context->sources[SOURCE_ACPI];
        int r;

        if (!config->source_acpi) {
                state->reason = "switched off by configuration";
                return 0;
        }
        r = acpi_source_new(&sources->acpi, context->event, context->engine, context->queue);
        if (r == -ENOMEM)
                return r;
        state->active = r >= 0;
        if (r < 0) {
                state->reason = acpi_reason(r);
                log_notice("Not listening to ACPI eject requests: %s", state->reason);
        }
        return 0;
}

int sources_new(Sources **ret, const Config *config, OperationContext *context) {
        CLEANUP(sources_freep) Sources *sources = calloc(1, sizeof(*sources));
        int r;

        if (!sources)
                return -ENOMEM;
        sources->context = context;
        sources_configure(sources, config);
        r = start_acpi(sources, config);
        if (r < 0)
                return r;
        *ret = STEAL_PTR(sources);
        return 0;
}

void sources_configure(Sources *sources, const Config *config) {
        sources->context->sources[SOURCE_ACPI].asks = config->source_acpi == CONFIG_SOURCE_ASK;
}

Sources *sources_free(Sources *sources) {
        if (!sources)
                return NULL;
        (void) acpi_source_free(sources->acpi);
        free(sources);
        return NULL;
}
