#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-examples.py MEMUNPLUGD TOP MEMUNPLUGCTL: the examples of the manual pages, letter by letter, in a mount namespace
where the daemon has its socket and the system bus is where they are elsewhere. An example that nobody has thought of
here fails the test."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import authority
from machine import PATIENCE, SIZE, TOP, Machine, needs, run_tests

MEMORY = "sys/devices/system/memory"
ACPI = "sys/bus/acpi/devices"
BOOT_BLOCKS, DIMM, END = 16, range(56, 64), 64      # between them: movable and nobody's
# Needs a system that has booted, or the module: tests/vm has such.
ELSEWHERE = {"modprobe memunplug", "perf trace -e 'memunplug:*' -a --no-syscalls", "journalctl -u memunplugd MEMUNPLUG_JOB=7",
             "modprobe memunplug_balloon", "systemctl enable --now memunplugd.service",
             "systemctl set-property memunplugd.service CPUQuota=20% CPUQuotaPeriodSec=10ms"}
NO_COMMANDS = ("# /etc/memunplug", "#!/bin/sh", "node /org/memunplug1", "alias virtio:")    # tests of their own below, or test-man.py


class Kernel(threading.Thread):
    """Does what a kernel does when its files are written: shows blocks that are online as such, lets a device go."""

    def __init__(self, root):
        super().__init__(daemon=True)
        self.root, self.over = root, threading.Event()

    def remove(self, path):
        """At once, as others see it."""
        path.rename(self.root / "gone")
        shutil.rmtree(self.root / "gone")

    def run(self):
        while not self.over.wait(0.01):
            for file in (self.root / MEMORY).glob("memory*/state"):
                if file.read_text().startswith("online_"):
                    (self.root / "online").write_text("online\n")
                    (self.root / "online").rename(file)
            for device in (self.root / ACPI).iterdir():
                if (device / "eject").read_text():
                    for block in DIMM:
                        self.remove(self.root / MEMORY / f"memory{block}")
                    self.remove(device)


class Described(Machine):
    """The machine that the pages speak of, with all in its place below /run."""

    def make_tree(self):
        super().make_tree()
        self.put("proc/meminfo", "MemTotal: 8388608 kB\nMemFree: 6291456 kB\nMemAvailable: 6291456 kB\n"
                                 "SwapTotal: 0 kB\nSwapFree: 0 kB\n")
        for block in range(END):
            self.put(f"{MEMORY}/memory{block}/state", "online\n")
            self.put(f"{MEMORY}/memory{block}/phys_index", f"{block:08x}\n")
            self.put(f"{MEMORY}/memory{block}/valid_zones", "Normal\n" if block < BOOT_BLOCKS else "Movable\n")
        self.put(f"{ACPI}/PNP0C80:00/status", "15\n")
        self.put(f"{ACPI}/PNP0C80:00/eject", "")
        for block in DIMM:
            (self.root / MEMORY / f"memory{block}/firmware_node").symlink_to("../../../LNXSYSTM:00/PNP0C80:00")
        self.kernel = Kernel(self.root)
        self.kernel.start()

    def start(self):
        super().start()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
        for link, target in (("/run/dbus/system_bus_socket", "bus"), ("/run/memunplug/org.memunplug", "varlink")):
            os.makedirs(os.path.dirname(link), exist_ok=True)
            os.symlink(self.directory / target, link)
        programs = self.directory / "bin"
        programs.mkdir()
        (programs / "memunplugctl").symlink_to(pathlib.Path(sys.argv[3]).absolute())
        if "VARLINKCTL" in os.environ:
            (programs / "varlinkctl").write_text(f'#!/bin/sh\nexec {os.environ["VARLINKCTL"]} "$@"\n')
            (programs / "varlinkctl").chmod(0o755)
        self.environment = os.environ | {"PATH": f"{programs}:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"}
        self.environment.pop("DBUS_SYSTEM_BUS_ADDRESS", None)
        self.run = set()        # first lines of what was run

    def end(self):
        self.kernel.over.set()
        self.kernel.join()
        return super().end()

    def varlink(self, method, parameters=None, more=False):
        """When the kernel has shown what was done last."""
        while any(file.read_text().startswith("online_") for file in (self.root / MEMORY).glob("memory*/state")):
            time.sleep(0.01)
        return super().varlink(method, parameters, more)

    def popen(self, example):
        self.varlink("GetStatus")
        self.run.add(example.splitlines()[0])
        return subprocess.Popen(["sh", "-eu", "-c", example], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, env=self.environment, cwd=self.directory,
                                start_new_session=True)

    def to_its_end(self, example, *wanted):
        process = self.popen(example)
        out = process.communicate(timeout=PATIENCE)[0]
        assert process.returncode == 0, (example, process.returncode, out)
        for text in wanted:
            assert text in out, (example, text, out)

    def without_end(self, example, wanted):
        """It shows a job from its start to its end, then is stopped."""
        process, seen = self.popen(example), ""
        over = threading.Event()
        jobs = threading.Thread(target=self.make_jobs, args=(over,))    # the first may be too early for it
        jobs.start()
        end = time.monotonic() + PATIENCE
        while wanted not in seen:
            assert time.monotonic() < end, (example, seen)
            line = process.stdout.readline()
            assert line, (example, "ended", seen)
            seen += line
        over.set()
        jobs.join()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()

    def make_jobs(self, over):
        while not over.is_set():
            for method in ("Unplug", "Replug"):
                self.varlink(method, {"blocks": [17]}, more=True)


def page_examples():
    """Of all pages: {name: [text]}."""
    found = {}
    for path in sorted(TOP.glob("docs/*.scd")):
        text = path.read_text()
        found[path.name] = [block.replace("\\\\", "\\") for block in re.findall(r"^```\n(.*?)^```$", text, re.M | re.S)]
    text = (TOP / "docs/PROTOCOL.md").read_text()
    found["PROTOCOL.md"] = [line for block in re.findall(r"^```\n(.*?)^```$", text, re.M | re.S)
                            for line in block.splitlines() if line.startswith(("varlinkctl", "printf"))]
    return found


def example(page, beginning):
    one, = [text for text in page_examples()[page] if text.startswith(beginning)]
    return one


def lines(page, beginning):
    return example(page, beginning).splitlines()


def test_memunplugctl(m):
    page = "memunplugctl.1.scd"
    m.to_its_end(example(page, "memunplugctl plan"), "Can be done.", "Removed 2G in ")
    m.varlink("Replug", {"sizeBytes": 2 << 30}, more=True)
    m.to_its_end(example(page, "memunplugctl unplug --partial"), "Removed 1G in ", "Brought back 1G in ")
    m.without_end(example(page, "memunplugctl monitor"), " done\n")
    m.without_end("\n".join(lines("memunplugd.service.8.scd", "memunplugctl monitor")), "done")


def test_varlink(m):
    if not shutil.which("varlinkctl", path=m.environment["PATH"]):
        return
    page = "org.memunplug.7.scd"
    m.to_its_end(example(page, "varlinkctl introspect"), "interface org.memunplug\n", "method Unplug(")
    m.to_its_end(example(page, "printf"), '"blockSizeBytes":')
    m.without_end(example("PROTOCOL.md", "varlinkctl"), '"done"')
    m.to_its_end(example("PROTOCOL.md", "printf"), '"blockSizeBytes":')


def test_bus(m):
    introspect, call, tree, monitor = lines("org.memunplug1.5.scd", "busctl introspect")
    m.run.add(introspect)
    m.to_its_end(introspect, "org.memunplug1.Manager", ".RemovableBytes")
    m.to_its_end(call, 'uo ', "/org/memunplug1/job/_")
    last = m.varlink("ListJobs", more=True)[-1]["job"]["id"]
    m.wait_for_state(last, "done")
    m.varlink("Replug", {"sizeBytes": 2 << 30}, more=True)
    m.to_its_end(tree, "/org/memunplug1")
    m.without_end(monitor, "Member=JobRemoved")


def test_device(m):
    """Last but one, since the device goes; and once more, when it is not there."""
    text = example("memunplugctl.1.scd", "if ! memunplugctl")
    m.to_its_end(text)
    assert '"state":"done"' in (m.directory / "job.json").read_text()
    m.to_its_end(text, "org.memunplug.NoSuchDevice\n")


def test_two_calls_of_varlinkctl(m):
    """The device of the example is gone by now: it says so, and the job of the second is there."""
    if not shutil.which("varlinkctl", path=m.environment["PATH"]):
        return
    unplug, list_jobs = lines("org.memunplug.7.scd", "varlinkctl call --more")
    process = m.popen(unplug)
    assert "org.memunplug.NoSuchDevice" in process.communicate(timeout=PATIENCE)[0] and process.returncode == 1
    m.to_its_end(list_jobs, '"id":1,')


def test_settings(m):
    text = example("memunplugd.conf.5.scd", "# /etc/memunplug")
    drop_in = pathlib.Path("/run/memunplug/memunplugd.conf.d/60-local.conf")
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text(text)
    shutil.copy(TOP / "policy/memunplugd.conf", "/run/memunplug/memunplugd.conf")
    m.to_its_end(example("memunplugd.conf.5.scd", "systemd-analyze"), "KeepFreeBytes=256M\n")
    m.put("etc/memunplug/memunplugd.conf.d/60-local.conf", text)
    m.daemon.send_signal(signal.SIGHUP)
    end = time.monotonic() + PATIENCE
    while (verdict := m.varlink("Explain", {"block": 40})[0])["verdict"] != "guarded":
        assert time.monotonic() < end, verdict
        time.sleep(0.01)
    assert m.varlink("Plan", {"sizeBytes": SIZE})[0]["reserveBytes"] == 256 << 20


def test_hook(m):
    """It lets memory go, and with the other service running it does not."""
    text = example("memunplugd.service.8.scd", "#!/bin/sh")
    m.put("etc/memunplug/hooks.d/10-backup", text)
    (m.root / "etc/memunplug/hooks.d/10-backup").chmod(0o755)
    for answer, state, reason in ((3, "done", None), (0, "failed", "backup.service is running")):
        stand_in = m.directory / "systemctl"
        stand_in.write_text(f"#!/bin/sh\nexit {answer}\n")
        stand_in.chmod(0o755)
        authority.mount(stand_in, "/usr/bin/systemctl")
        job = m.varlink("Unplug", {"blocks": [20]}, more=True)[-1]["job"]
        assert job["state"] == state and (reason is None or reason in job["reason"]), job
        subprocess.run(["umount", "/usr/bin/systemctl"], check=True)
        m.varlink("Replug", {"blocks": [20]}, more=True)


def test_none_was_left_out(m):
    for page, texts in page_examples().items():
        for text in texts:
            first = text.splitlines()[0]
            assert first in m.run or first in ELSEWHERE or first.startswith(NO_COMMANDS) or \
                not shutil.which("varlinkctl", path=m.environment["PATH"]), (page, first)


authority.go_inside()
needs("dbus-daemon", "busctl", "jq", "socat", "systemd-analyze")
run_tests(Described(), [value for name, value in list(globals().items()) if name.startswith("test_")])
