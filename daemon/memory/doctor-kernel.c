/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel says of itself: how it brings memory online, what holds memory, how old it is. */
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory/doctor.h"
#include "memory/pressure.h"
#include "util/cleanup.h"
#include "util/sysfs.h"

#define AUTO_ONLINE "/sys/devices/system/memory/auto_online_blocks"
#define PARAMETERS "/sys/module/memory_hotplug/parameters/"
#define CMDLINE "/proc/cmdline"
#define VALUE_MAX 64U
#define RATIO_DEFAULT_MAX 301U /* the kernel's default, a little above 3:1 */

/* Paths are written as people see them; the root is in front of the slash. false: it cannot be read. */
static bool get(int root_fd, const char *file, char value[VALUE_MAX]) {
        return sysfs_read(root_fd, file + 1, value, VALUE_MAX) >= 0;
}

static bool has_word(const char *line, const char *word) {
        size_t n = strlen(word);

        for (const char *p = line; (p = strstr(p, word)); p += n)
                if ((p == line || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0'))
                        return true;
        return false;
}

static bool has_dimms(const BlockTable *table) {
        for (size_t i = 0; i < table->n_devices; i++)
                if (table->devices[i].kind == DEVICE_ACPI_DIMM)
                        return true;
        return false;
}

static int check_auto_online(Findings *findings, int root_fd) {
        char state[VALUE_MAX], policy[VALUE_MAX] = "";
        const char *advice = "Use memhp_default_state=online_movable on the kernel's command line, or "
                             "memory_hotplug.online_policy=auto-movable with memhp_default_state=online.";

        if (!get(root_fd, AUTO_ONLINE, state))
                return 0;
        (void) get(root_fd, PARAMETERS "online_policy", policy);
        if (strcmp(state, "online_kernel") == 0)
                return findings_add(
                        findings, SEVERITY_PROBLEM, "auto_online", AUTO_ONLINE, state, advice,
                        "the kernel brings hot-plugged memory online for its own data: it cannot "
                        "be removed again");
        if (strcmp(state, "online") == 0 && strcmp(policy, "auto-movable") != 0)
                return findings_add(
                        findings, SEVERITY_WARNING, "auto_online", AUTO_ONLINE, state, advice,
                        "the kernel brings hot-plugged memory online by itself, mostly where its "
                        "own data may be");
        return 0;
}

static int check_ratio_parameter(Findings *findings, int root_fd) {
        char policy[VALUE_MAX], ratio[VALUE_MAX];
        uint64_t percent;

        if (!get(root_fd, PARAMETERS "online_policy", policy) || strcmp(policy, "auto-movable") != 0 ||
            !get(root_fd, PARAMETERS "auto_movable_ratio", ratio) || parse_u64(ratio, 10, &percent) < 0)
                return 0;
        if (percent == 0)
                return findings_add(findings, SEVERITY_PROBLEM, "auto_movable_ratio",
                                    PARAMETERS "auto_movable_ratio", ratio, "Set it to 301, its default.",
                                    "the kernel makes no hot-plugged memory movable by itself");
        if (percent > RATIO_DEFAULT_MAX)
                return findings_add(
                        findings, SEVERITY_WARNING, "auto_movable_ratio", PARAMETERS "auto_movable_ratio",
                        ratio, "Set it to 301, its default.",
                        "the kernel makes more than three times as much memory movable as it keeps "
                        "for itself: it may run out of memory for its own data");
        return 0;
}

static int check_command_line(Findings *findings, int root_fd, const BlockTable *table) {
        CLEANUP(freep) char *line = NULL;
        size_t n;

        if (!has_dimms(table) || sysfs_read_all(root_fd, &CMDLINE[1], SYSFS_TEXT_MAX, &line, &n) < 0)
                return 0;
        line[strcspn(line, "\n")] = '\0';
        if (has_word(line, "movable_node"))
                return 0;
        return findings_add(findings, SEVERITY_NOTE, "movable_node", CMDLINE, "no movable_node",
                            "Boot with movable_node if memory devices that are there at boot should be able "
                            "to go.",
                            "memory devices that are there when the machine boots are used for kernel data");
}

int doctor_onlining(Findings *findings, int root_fd, const BlockTable *table) {
        int r;

        r = check_auto_online(findings, root_fd);
        if (r >= 0)
                r = check_ratio_parameter(findings, root_fd);
        return r < 0 ? r : check_command_line(findings, root_fd, table);
}

static int check_hugepages(Findings *findings, int root_fd, const char *size, bool gigantic) {
        char file[128], value[VALUE_MAX];
        uint64_t n;

        (void) snprintf(file, sizeof(file), "/sys/kernel/mm/hugepages/hugepages-%s/nr_hugepages", size);
        if (!get(root_fd, file, value) || parse_u64(value, 10, &n) < 0 || n == 0)
                return 0;
        if (gigantic)
                return findings_add(
                        findings, SEVERITY_PROBLEM, "hugepages", file, value,
                        "Reserve gigantic pages at boot only (hugepages= on the kernel's command "
                        "line), or use smaller ones.",
                        "%" PRIu64 " huge pages of %s are reserved: those in zone Movable can go only "
                        "to another free one",
                        n, size);
        return findings_add(findings, SEVERITY_WARNING, "hugepages", file, value,
                            "Keep some huge pages free, or set nr_overcommit_hugepages.",
                            "%" PRIu64 " huge pages of %s are reserved: one in use moves only to a free one",
                            n, size);
}

/* Modules that are there to hold pages of processes for as long as they like. */
static int check_pinning_modules(Findings *findings, int root_fd) {
        static const struct {
                const char *file, *who;
        } modules[] = {
                { "/sys/module/vfio_iommu_type1/refcnt", "VFIO (device assignment)" },
                { "/sys/module/ib_uverbs/refcnt", "RDMA" },
        };
        char value[VALUE_MAX];
        int r = 0;

        for (size_t i = 0; r >= 0 && i < sizeof(modules) / sizeof(modules[0]); i++)
                if (get(root_fd, modules[i].file, value) && strcmp(value, "0") != 0)
                        r = findings_add(
                                findings, SEVERITY_WARNING, "pins", modules[i].file, value,
                                "Stop what uses it before memory is removed.",
                                "%s is in use: it pins memory of processes, which then does not move",
                                modules[i].who);
        return r;
}

static int check_balloons(Findings *findings, int root_fd) {
        static const struct {
                const char *folder, *name;
                Severity severity;
        } balloons[] = {
                { "/sys/module/virtio_balloon", "virtio_balloon", SEVERITY_NOTE },
                { "/sys/module/vmw_balloon", "vmw_balloon", SEVERITY_NOTE },
                { "/sys/module/hv_balloon", "hv_balloon", SEVERITY_WARNING },
        };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < sizeof(balloons) / sizeof(balloons[0]); i++)
                if (faccessat(root_fd, balloons[i].folder + 1, F_OK, 0) == 0)
                        r = findings_add(
                                findings, balloons[i].severity, "balloon", balloons[i].folder, "loaded",
                                "Do not inflate a balloon and remove memory at the same time.",
                                "the balloon driver %s is there: what it takes is missing as room for "
                                "what must move%s",
                                balloons[i].name,
                                balloons[i].severity == SEVERITY_NOTE ? "" : ", and its pages do not move");
        return r;
}

/* It has a list of memory from when it was loaded. */
static int check_crash_kernel(Findings *findings, int root_fd) {
        static const char file[] = "/sys/kernel/kexec_crash_loaded";
        char value[VALUE_MAX];

        if (!get(root_fd, file, value) || strcmp(value, "1") != 0)
                return 0;
        return findings_add(findings, SEVERITY_NOTE, "crash_kernel", file, value,
                            "Load it again after memory has gone or come (kdump-config reload).",
                            "a crash kernel is loaded: it knows the memory that was there then");
}

/* Jobs are held by that. */
static int check_pressure(Findings *findings, int root_fd) {
        if (faccessat(root_fd, "proc/meminfo", F_OK, 0) < 0 ||
            faccessat(root_fd, PRESSURE_PATH, F_OK, 0) >= 0)
                return 0;
        return findings_add(findings, SEVERITY_NOTE, "pressure", "/" PRESSURE_PATH, "not there",
                            "Use a kernel with pressure stall information (CONFIG_PSI, psi=1).",
                            "the kernel does not tell how much its tasks wait for memory: PressureLimit= "
                            "has no effect");
}

int doctor_holders(Findings *findings, int root_fd) {
        int r;

        r = check_hugepages(findings, root_fd, "1048576kB", /* gigantic= */ true);
        if (r >= 0)
                r = check_hugepages(findings, root_fd, "2048kB", /* gigantic= */ false);
        if (r >= 0)
                r = check_pinning_modules(findings, root_fd);
        if (r >= 0)
                r = check_crash_kernel(findings, root_fd);
        if (r >= 0)
                r = check_pressure(findings, root_fd);
        return r < 0 ? r : check_balloons(findings, root_fd);
}

/* Digits and dots; what follows them is not ours. */
static int parse_version(const char *text, unsigned ret[3]) {
        unsigned version[3] = {};
        char *end;

        for (size_t i = 0; i < 3 && *text >= '0' && *text <= '9'; i++) {
                unsigned long n = strtoul(text, &end, 10);

                if (n > 65535 || (i == 0 && *end != '.'))
                        return -EINVAL;
                version[i] = (unsigned) n;
                text = *end == '.' ? end + 1 : "";
        }
        if (version[0] == 0)
                return -EINVAL;
        memcpy(ret, version, sizeof(version));
        return 0;
}

int kernel_version_parse(const char *text, unsigned ret[3]) {
        static const char prefix[] = "Linux version ", debian[] = " Debian ";
        const char *p;

        if (strncmp(text, prefix, sizeof(prefix) - 1) != 0)
                return -EINVAL;
        p = strstr(text, debian);
        if (p && parse_version(p + sizeof(debian) - 1, ret) >= 0)
                return 0;
        return parse_version(text + sizeof(prefix) - 1, ret);
}

/* CVE-2023-52490 came with the split of migration into unmap and move. From the first up to, not with, the
 * second of each series. */
static bool has_migration_bug(const unsigned version[3]) {
        static const struct {
                unsigned series, first, fixed;
        } ranges[] = {
                { 1, 119, 192 }, { 3, 0, UINT_MAX }, { 4, 0, UINT_MAX },
                { 5, 0, UINT_MAX }, { 6, 0, 15 }, { 7, 0, 3 },
        };

        for (size_t i = 0; version[0] == 6 && i < sizeof(ranges) / sizeof(ranges[0]); i++)
                if (version[1] == ranges[i].series)
                        return version[2] >= ranges[i].first && version[2] < ranges[i].fixed;
        return false;
}

int doctor_version(Findings *findings, int root_fd) {
        char text[512], value[32];
        unsigned version[3];

        if (sysfs_read(root_fd, "proc/version", text, sizeof(text)) < 0 ||
            kernel_version_parse(text, version) < 0)
                return 0;
        if (!has_migration_bug(version))
                return 0;
        (void) snprintf(value, sizeof(value), "%u.%u.%u", version[0], version[1], version[2]);
        return findings_add(
                findings, SEVERITY_WARNING, "kernel", "/proc/version", value,
                "Use a kernel with the fix: 6.1.192, 6.6.15, 6.7.3 or later of these, or 6.8 or later.",
                "this kernel may have a bug in the migration of pages that removing memory can hit "
                "(CVE-2023-52490)");
}
