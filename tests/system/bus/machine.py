# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine for tests of the bus: the real daemon on a real bus with the real policy, above a made-up /sys; busctl and
Varlink clients of it; and the running of tests in TAP."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

PROGRAM, TOP = sys.argv[1], pathlib.Path(sys.argv[2])
PATIENCE = 30
BLOCKS, FIRST_DIMM, SIZE = 16, 8, 0x8000000
CONFIG = """<busconfig><listen>unix:path={directory}/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><deny own="*"/><deny send_type="method_call"/><allow send_type="signal"/>
<allow send_requested_reply="true" send_type="method_return"/><allow send_requested_reply="true" send_type="error"/>
<allow receive_type="method_call"/><allow receive_type="method_return"/><allow receive_type="error"/>
<allow receive_type="signal"/><allow send_destination="org.freedesktop.DBus"/></policy>
<include>{policy}</include><policy user="{uid}"><allow own="org.memunplug1"/></policy>{more}</busconfig>
"""


class Machine:
    """A tree that looks like a machine's /sys, a bus, and the daemon."""

    def __init__(self, *options, bus_config=""):
        """options: of the daemon. bus_config: more elements for the bus."""
        self.options = options
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="memunplug-bus-"))
        self.directory.chmod(0o755)
        self.address = f"unix:path={self.directory}/bus"
        self.root = self.directory / "root"
        self.make_tree()
        config = self.directory / "bus.conf"
        config.write_text(CONFIG.format(directory=self.directory, policy=TOP / "policy/org.memunplug1.conf",
                                        uid=os.geteuid(), more=bus_config))
        self.bus = subprocess.Popen(["dbus-daemon", "--nofork", "--nopidfile", f"--config-file={config}",
                                     "--print-address=1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.bus.stdout.readline()
        self.start()

    def put(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def make_tree(self):
        memory = "sys/devices/system/memory"
        self.put(f"{memory}/block_size_bytes", f"{SIZE:x}\n")
        for block in range(BLOCKS):
            self.put(f"{memory}/memory{block}/state", "online\n")
            self.put(f"{memory}/memory{block}/phys_index", f"{block:08x}\n")
            self.put(f"{memory}/memory{block}/valid_zones", "Normal\n" if block < FIRST_DIMM else "Movable\n")
            (self.root / memory / f"memory{block}/node0").symlink_to("../../node/node0")
        self.put("proc/meminfo", "MemTotal: 2097152 kB\nMemFree: 1048576 kB\nMemAvailable: 1048576 kB\n"
                                 "SwapTotal: 0 kB\nSwapFree: 0 kB\n")
        self.put("proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n")
        self.put("proc/iomem", "")
        self.put("etc/memunplug/memunplugd.conf.d/50-test.conf", "[Unplug]\nHookTimeoutSec=10min\n")

    def start(self):
        """READY=1 comes when the name on the bus is ours."""
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = str(self.directory / "notify")
        notify.bind(name)
        notify.settimeout(PATIENCE)
        environment = os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": self.address, "NOTIFY_SOCKET": name}
        self.daemon = subprocess.Popen([PROGRAM, f"--root={self.root}", f"--listen={self.directory}/varlink",
                                        "--device=", "--state=state", *self.options], env=environment)
        while b"READY=1" not in notify.recv(4096):
            pass
        notify.close()
        os.unlink(name)

    def busctl(self, *arguments, uid=None):
        command = ["busctl", f"--address={self.address}", "--json=short", *arguments]
        if uid is not None:
            command = ["setpriv", f"--reuid={uid}", "--clear-groups", *command]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)

    def manager(self, member, *arguments, uid=None):
        """The reply's values, or the error's text."""
        done = self.busctl("call", "org.memunplug1", "/org/memunplug1", "org.memunplug1.Manager", member, *arguments,
                           uid=uid)
        return done.stderr if done.returncode else json.loads(done.stdout)["data"] if done.stdout else []

    def varlink(self, method, parameters=None, more=False):
        """All replies' parameters, or the error's name."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(f"{self.directory}/varlink")
            call = {"method": f"org.memunplug.{method}", "parameters": parameters or {}, "more": more}
            s.sendall(json.dumps(call).encode() + b"\0")
            data, replies = b"", []
            while True:
                while b"\0" in data:
                    message, data = data.split(b"\0", 1)
                    reply = json.loads(message)
                    if "error" in reply:
                        return reply["error"]
                    replies.append(reply.get("parameters", {}))
                    if not reply.get("continues"):
                        return replies
                data += s.recv(65536)

    def hold_jobs(self):
        """From now on a removal waits for a program of the administrator, until release_job()."""
        gate = self.root / "gate"
        self.put("etc/memunplug/hooks.d/10-wait", f'#!/bin/sh\n[ "$1" = check ] || exit 0\nread line <{gate}\n')
        (self.root / "etc/memunplug/hooks.d/10-wait").chmod(0o755)
        os.mkfifo(gate)
        gate.chmod(0o644)

    def release_job(self):
        """The one that waits, or will wait in a moment."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                fd = os.open(self.root / "gate", os.O_WRONLY | os.O_NONBLOCK)
            except OSError:         # it has not come that far
                assert time.monotonic() < end, "no job waits"
                time.sleep(0.01)
                continue
            os.write(fd, b"go\n")
            os.close(fd)
            return

    def wait_for_state(self, number, *states):
        """Until the job is in one of them."""
        end = time.monotonic() + PATIENCE
        while (job := self.varlink("ListJobs", {"id": number})[0]["job"])["state"] not in states:
            assert time.monotonic() < end, job
            time.sleep(0.01)

    def monitor(self):
        """Signals of the service from now on, as busctl monitor shows them."""
        return Monitor(self)

    def stop(self):
        self.daemon.send_signal(signal.SIGTERM)
        return self.daemon.wait(PATIENCE)

    def end(self):
        code = self.stop()
        self.bus.kill()
        self.bus.wait()
        shutil.rmtree(self.directory)
        return code


class Monitor:
    def __init__(self, machine):
        self.process = subprocess.Popen(
            ["busctl", f"--address={machine.address}", "--json=short", "monitor",
             "--match=type='signal',sender='org.memunplug1'", "--match=type='signal',member='NameAcquired'"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.process.stderr.readline()      # "Monitoring bus message stream."

    def until(self, member):
        """All signals to the first of this name."""
        signals = []
        for line in self.process.stdout:
            message = json.loads(line)
            signals.append((message.get("member"), message.get("path"), message.get("payload", {}).get("data")))
            if message.get("member") == member:
                return signals
        raise EOFError(member)

    def end(self):
        self.process.kill()
        self.process.wait()


def needs(*programs):
    """Ends the test as skipped if one of them is not there."""
    for name in programs:
        if not shutil.which(name):
            print(f"1..0 # SKIP no {name}")
            sys.exit(0)


def needs_module(name, package):
    """A module of Debian's, also for a python3 that is not; or the end of the test as skipped."""
    sys.path.append("/usr/lib/python3/dist-packages")
    try:
        return __import__(name)
    except ImportError:
        print(f"1..0 # SKIP no {package}")
        sys.exit(0)


def run_tests(machine, tests):
    print(f"1..{len(tests) + 1}")
    for number, test in enumerate(tests, 1):
        try:
            test(machine)
            print(f"ok {number} {test.__name__}", flush=True)
        except Exception:
            print("# " + traceback.format_exc().replace("\n", "\n# "))
            print(f"not ok {number} {test.__name__}", flush=True)
    print("not " * (machine.end() != 0) + f"ok {len(tests) + 1} the daemon ends well")
