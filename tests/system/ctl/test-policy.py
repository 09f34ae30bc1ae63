#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What an administrator decides, as the one who asks sees it: hooks."""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from program import Skip, contains, equal  # noqa: E402
from service import Machine  # noqa: E402

HOOKS = "etc/memunplug/hooks.d/"
machine = Machine()
ctl = machine.ctl


def hook(name, script):
    machine.put(HOOKS + name, "#!/bin/sh\n" + script + "\n", 0o755)


def back(blocks):
    ctl(0, "replug", blocks)
    machine.settle()


def need_root():
    if os.geteuid() != 0:
        raise Skip("only root can have hooks that are trusted")


def test_hooks_are_roots():
    """Started by somebody else than root the daemon believes no hook in a folder that is not root's."""
    if os.geteuid() == 0:
        raise Skip("everything here is root's")
    hook("10-mine", "exit 0")
    contains(ctl(77, "unplug", "15").err, "a hook cannot be trusted and was not asked: ", " is not root's")
    (machine.root / HOOKS / "10-mine").unlink()


def test_veto_reaches_who_asked():
    need_root()
    hook("50-db", 'echo "$1" >>hook-log\n[ "$1" != check ] || { echo "the database is busy"; exit 1; }')
    result = ctl(77, "unplug", "15")
    contains(result.err, "hook '50-db' refused: the database is busy")
    job = json.loads(ctl(0, "-j", "jobs").out)[-1]
    equal((job["state"], job["cause"], job["reason"], job["removedBytes"]),
          ("failed", "refused", "hook '50-db' refused: the database is busy", 0))
    equal((machine.root / "hook-log").read_text(), "check\n")
    (machine.root / HOOKS / "50-db").unlink()


def test_agreement_goes_on():
    need_root()
    hook("50-db", 'echo "$1" >>agreed\ncat >"input-$1"')
    ctl(0, "unplug", "14-15")
    equal([step["block"] for step in json.loads((machine.root / "input-pre").read_text())["steps"]], [15, 14])
    (machine.root / HOOKS / "50-db").unlink()
    back("14-15")


def test_doctor_shows_what_there_is():
    findings = json.loads(ctl(0, "doctor", "-j").out)["findings"]
    equal([f["check"] for f in findings], ["module", "acpi"])
    machine.put("sys/devices/system/memory/auto_online_blocks", "online_kernel\n")
    machine.put("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "5\n")
    hook("50-db", "exit 0")
    contains(ctl(1, "doctor").out, "note     hooks are asked before memory goes, and may refuse.\n",
             "Seen: /etc/memunplug/hooks.d: 1 programs\n")
    os.chmod(machine.root / HOOKS / "50-db", 0o777)
    result = ctl(1, "doctor")
    contains(result.out, "problem  the kernel brings hot-plugged memory online for its own data",
             "Seen: /sys/devices/system/memory/auto_online_blocks: online_kernel\n", "Do:   Use memhp_default_state=",
             "Seen: /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages: 5\n",
             "problem  a hook cannot be trusted, so nothing is removed.\n",
             "hooks.d: /etc/memunplug/hooks.d/50-db can be written by others\n", "5 findings, 2 of them prevent removal.")
    (machine.root / HOOKS / "50-db").unlink()


def test_kernel_with_a_known_bug():
    """Its state warns of it; with the fix there is nothing to say."""
    for version, warned in ("6.1.119", True), ("6.1.192", False):
        machine.put("proc/version", f"Linux version {version} (x@y)\n")
        machine.restart()
        health = json.loads(ctl(0, "status", "-j").out)["health"]
        equal([f"(CVE-2023-52490): Linux {version}" in text for text in health if "CVE" in text], [True] * warned)


def test_daemon_ends():
    equal(machine.end(), 0)


if __name__ == "__main__":
    sys.exit(machine.run_tests(globals()))
