#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every setting of memunplugd.conf has an effect, from a reload on or, where that is documented, from a restart on."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
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
    "Balloon": ("tests/vm/test_balloon.py", "Balloon=no"),
    "VirtioSerial": ("tests/vm/test_serial.py", "VirtioSerial="),
    "Retries": ("tests/unit/request/test-queue.c", "two retries"),
    "RetryDelaySec": ("tests/unit/request/test-queue.c", "retries_wait_twice_as_long_each_time"),
    "RetryMaxDelaySec": ("tests/unit/request/test-queue.c", "retries_wait_twice_as_long_each_time"),
    "CleanCache": ("tests/vm/test_kinds.py", "CleanCache=keep"),
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


def test_VirtioMem():
    def reason():
        return [s.get("reason") for s in json.loads(ctl("status", "-j").out)["sources"]
                if s["source"] == "virtio_mem"][0]
    before = reason()
    configure("Sources", "VirtioMem=no")
    until(lambda: "switched off" in reason(), "VirtioMem=no")
    configure("Sources")
    until(lambda: reason() == before, "back from VirtioMem=no")


def test_KeepFreeBytes():
    effect("Policy", "KeepFreeBytes=64G", "plan", "128M", says="Cannot be done")


def test_ProtectBlocks():
    effect("Policy", "ProtectBlocks=15", "explain", "15", says="ProtectBlocks=")


def test_ProtectNodes():
    effect("Policy", "ProtectNodes=1", "explain", "15", says="ProtectNodes=")


def test_KeepNodeMemory():
    machine.put("sys/devices/system/node/has_cpu", "0-1\n")
    until(lambda: "(KeepNodeMemory=)" in said("plan", "node:1"), "nodes with processors")
    effect("Policy", "KeepNodeMemory=no", "plan", "node:1", says="256M would go")
    machine.put("sys/devices/system/node/has_cpu", "\n")


def test_Order():
    def first():
        return json.loads(ctl("plan", "128M", "-j").out)["steps"][0]["block"]
    equal(first(), 15)
    configure("Unplug", "Order=lowest")
    until(lambda: first() == 8, "lowest")
    configure("Unplug", "Order=highest")
    until(lambda: first() == 15, "highest")
    configure("Unplug")


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


def press(percent):
    machine.put("proc/pressure/memory", f"some avg10={percent}.00 avg60=0.00 avg300=0.00 total=0\n")


def test_PressurePauseSec():
    press(50)
    configure("Policy", "PressurePauseSec=1s")
    until(lambda: "waiting for 1s, then given up: memory pressure 50 % above 20 %" in
          said("unplug", "15", "--deadline=3s"), "PressurePauseSec")


def test_PressureLimit():
    press(50)
    configure("Policy", "PressureLimit=60%")
    until(lambda: ctl("unplug", "15", "--deadline=3s").code == 0, "PressureLimit")
    ctl("replug", "15")
    machine.settle()
    configure("Policy")
    until(lambda: "memory pressure 50 % above 20 %" in said("unplug", "15", "--deadline=1s"), "back")
    press(0)


def test_systemd_shows_what_is_read():
    """systemd-analyze cat-config names the files that the daemon reads, in its order."""
    if not shutil.which("systemd-analyze"):
        raise Skip("no systemd-analyze")
    name = "memunplug/memunplugd.conf"
    for folder, drop_ins in (("usr/lib", ("20-a", "50-b", "60-c")), ("run", ("50-b", "90-e")),
                             ("usr/local/lib", ("30-d", "20-a")), ("etc", ("70-f",))):
        for file in (name, *(f"{name}.d/{drop_in}.conf" for drop_in in drop_ins)):
            machine.put(f"{folder}/{file}", "[Policy]\nThisIsNone=1\n")
    (machine.root / f"etc/{name}.d/60-c.conf").symlink_to("/dev/null")
    machine.put(f"etc/{name}.d/80-not-one", "[Policy]\nThisIsNone=1\n")
    machine.restart()
    read = re.findall(r"(/\S+):2: Unknown key 'ThisIsNone'", machine.log.read_text())
    done = subprocess.run(["systemd-analyze", f"--root={machine.root}", "--no-pager", "cat-config", name],
                          capture_output=True, text=True, timeout=60)
    equal(done.returncode, 0)
    shown = re.findall(rf"^# {machine.root}(/\S+)$", done.stdout, re.M)
    equal(read, [path for path in shown if not path.endswith("60-c.conf")])
    equal([path.rsplit("/", 1)[1][:2] for path in read], ["me", "20", "30", "50", "70", "90"])
    for folder in ("usr", "run", "etc"):
        shutil.rmtree(machine.root / folder)
    machine.restart()


def test_all_settings_are_here():
    text = (TOP / "policy/memunplugd.conf").read_text()
    settings = re.findall(r"^#([A-Z]\w+)=", text, re.M)
    code = (TOP / "daemon/config-settings.c").read_text()
    equal(sorted(settings), sorted(re.findall(r'^ +\{ "[A-Z]\w+", "([A-Z]\w+)", set_', code, re.M)))
    assert len(settings) > 8, settings
    equal([s for s in settings if "test_" + s not in globals() and s not in ELSEWHERE], [])
    for setting, (file, word) in ELSEWHERE.items():
        assert setting in settings, setting
        contains((TOP / file).read_text(), word)


def test_daemon_ends():
    equal(machine.end(), 0)


if __name__ == "__main__":
    sys.exit(machine.run_tests(globals()))
