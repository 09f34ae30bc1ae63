# SPDX-License-Identifier: GPL-2.0-or-later
"""The real memunplugd above a directory that looks like a machine's root."""
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile

from program import main, run

DAEMON = sys.argv[2]
BLOCKS, FIRST_MOVABLE, SIZE = 16, 8, 128 << 20
NODE_1 = 14                       # and above; the others are of node 0
PATIENCE = 30


class Machine:
    """A directory that looks like a machine's root, and the daemon."""

    def __init__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="memunplug-test-")
        self.root = pathlib.Path(self.directory.name) / "root"
        self.address = str(pathlib.Path(self.directory.name) / "varlink")
        self.put("sys/devices/system/memory/block_size_bytes", f"{SIZE:x}\n")
        for block in range(BLOCKS):
            self.put_block(block, "state", "online\n")
            self.put_block(block, "phys_index", f"{block:08x}\n")
            (self.root / f"sys/devices/system/node/node{int(block >= NODE_1)}/memory{block}").mkdir(parents=True)
            self.put_block(block, "valid_zones", "Normal\n" if block < FIRST_MOVABLE else "Movable\n")
        self.put("proc/meminfo", "MemTotal: 2097152 kB\nMemFree: 1048576 kB\nMemAvailable: 1572864 kB\n"
                                 "SwapTotal: 0 kB\nSwapFree: 0 kB\n")
        self.put("proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n")
        self.put("proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n")
        self.put("proc/iomem", "")
        self.start()

    def put(self, path, text, mode=0o644):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def put_block(self, block, attribute, text):
        self.put(f"sys/devices/system/memory/memory{block}/{attribute}", text)

    def settle(self):
        """What a kernel makes of "online_movable", which a plain file keeps."""
        for block in range(BLOCKS):
            file = self.root / f"sys/devices/system/memory/memory{block}/state"
            if file.read_text().startswith("online_"):
                file.write_text("online\n")

    def start(self):
        """READY=1 may wait for a bus, which there is none of here: the socket is there before."""
        environment = os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent/bus"}
        environment.pop("NOTIFY_SOCKET", None)
        log = self.log = pathlib.Path(self.directory.name) / "log"
        command = [DAEMON, f"--root={self.root}", f"--listen={self.address}", "--device=", "--state=state",
                   "--log-level=warning"]
        with log.open("wb") as messages:
            self.daemon = subprocess.Popen(command, env=environment, stderr=messages)
        with socket.socket(socket.AF_UNIX) as s:
            while s.connect_ex(self.address) != 0:
                if self.daemon.poll() is not None:
                    raise AssertionError(log.read_text())
                os.sched_yield()

    def stop(self):
        self.daemon.send_signal(signal.SIGTERM)
        return self.daemon.wait(PATIENCE)

    def restart(self):
        if self.stop() != 0:
            raise AssertionError(self.log.read_text())
        self.start()

    def end(self):
        code = self.stop()
        self.directory.cleanup()
        return code

    def ctl(self, code, *arguments):
        """memunplugctl, which must end with this code."""
        result = run(self, *arguments)
        if result.code != code:
            raise AssertionError(f"{arguments}: {result.code}, not {code}\n{result.out}{result.err}")
        return result

    def run_tests(self, names):
        """All test_* of a program's names; the last of them may have ended the daemon. Gives the exit status."""
        code = main([value for name, value in list(names.items()) if name.startswith("test_")])
        if self.daemon.poll() is None:
            self.end()
        return code
