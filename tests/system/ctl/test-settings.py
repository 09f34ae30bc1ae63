#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every setting of memunplugd.conf has an effect, from a reload on or, where that is documented, from a restart on."""
import json
import os
import pathlib
import re
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from program import Skip, contains, equal, run  # noqa: E402
from service import PATIENCE, Machine  # noqa: E402

TOP = pathlib.Path(sys.argv[3])
CONF = "etc/memunplug/memunplugd.conf"
machine = Machine()

# Settings whose effect needs what there is none of here: which test shows it instead, by a word of that test.
ELSEWHERE = {
    "VirtioSerial": ("tests/vm/test_serial.py", "VirtioSerial="),
    "KeepNodeMemory": ("tests/unit/memory/test-plan.c", "stays there (KeepNodeMemory=)"),
    "Retries": ("tests/unit/request/test-queue.c", "two retries"),
    "OnlinePolicy": ("tests/vm/test_policy.py", "OnlinePolicy=movable"),
    "OnlineMovableRatio": ("tests/vm/test_policy.py", "OnlineMovableRatio=1"),
}


def ctl(*arguments):
    return run(machine, *arguments)


def said(*arguments):
    result = ctl(*arguments)
    return result.out + result.err


def until(true, what):
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, what


def configure(section, *lines):
    machine.put(CONF, "\n".join([f"[{section}]", *lines, ""]))
    machine.daemon.send_signal(signal.SIGHUP)


def effect(section, line, *arguments, says):
    """What memunplugctl says changes with the setting, and back without it."""
    assert says not in said(*arguments), said(*arguments)
    configure(section, line)
    until(lambda: says in said(*arguments), line)
    configure(section)
    until(lambda: says not in said(*arguments), "back from " + line)


def test_Acpi():
    def reason():
        return [s.get("reason") for s in json.loads(ctl("status", "-j").out)["sources"] if s["source"] == "acpi"]
    before = reason()
    machine.put(CONF, "[Sources]\nAcpi=no\n")
    machine.restart()
    equal(reason(), ["switched off by configuration"])
    machine.put(CONF, "")
    machine.restart()
    equal(reason(), before)


def test_KeepFreeBytes():
    effect("Policy", "KeepFreeBytes=64G", "plan", "128M", says="Cannot be done")


def test_ProtectBlocks():
    effect("Policy", "ProtectBlocks=15", "explain", "15", says="ProtectBlocks=")


def test_ProtectNodes():
    effect("Policy", "ProtectNodes=1", "explain", "15", says="ProtectNodes=")


def test_TryKernelZones():
    effect("Policy", "TryKernelZones=yes", "explain", "0", says="Block 0 is movable")


def deadline():
    """Seconds that a job for one block gets."""
    job = json.loads(ctl("unplug", "15", "-j", "-q").out)
    equal(job["state"], "done")
    ctl("replug", "15")
    machine.settle()
    return round((job["deadlineAt"] - job["createdAt"]) / 1e6)


def test_DeadlineSec():
    equal(deadline(), 70)
    configure("Unplug", "DeadlineSec=100")
    until(lambda: deadline() == 110, "DeadlineSec")


def test_DeadlinePerGiBSec():
    configure("Unplug", "DeadlinePerGiBSec=100")
    until(lambda: deadline() == 160, "DeadlinePerGiBSec")
    configure("Unplug")
    until(lambda: deadline() == 70, "back")


def test_HookTimeoutSec():
    if os.geteuid() != 0:
        raise Skip("only root can have hooks that are trusted")
    configure("Unplug", "HookTimeoutSec=250ms")
    machine.put("etc/memunplug/hooks.d/slow", "#!/bin/sh\nexec sleep 1000\n", 0o755)
    until(lambda: "hook 'slow' did not answer within 250ms" in ctl("unplug", "15").err, "HookTimeoutSec")
    (machine.root / "etc/memunplug/hooks.d/slow").unlink()


def test_all_settings_are_here():
    text = (TOP / "policy/memunplugd.conf").read_text()
    settings = re.findall(r"^#([A-Z]\w+)=", text, re.M)
    assert len(settings) > 8, settings
    equal([s for s in settings if "test_" + s not in globals() and s not in ELSEWHERE], [])
    for setting, (file, word) in ELSEWHERE.items():
        assert setting in settings, setting
        contains((TOP / file).read_text(), word)


def test_daemon_ends():
    equal(machine.end(), 0)


if __name__ == "__main__":
    sys.exit(machine.run_tests(globals()))
