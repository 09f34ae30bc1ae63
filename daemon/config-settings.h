/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The settings of memunplugd.conf by name. Used by config.c only. */
#pragma once

#include "config.h"

typedef struct ConfigSetting {
        const char *section;
        const char *key;
        /* Value "": back to the default. -ERANGE, -E2BIG: out of range; -ENOMEM; else not understood. */
        int (*set)(Config *config, const char *value);
} ConfigSetting;

Config config_default(void);
bool config_section_exists(const char *name);
const ConfigSetting *config_setting_find(const char *section, const char *key); /* or NULL */
