#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-late-bus.py MEMUNPLUGD TOP: a bus that comes after the daemon, and one that dies and comes back."""
import os
import subprocess

from machine import Machine, needs, run_tests


class LateMachine(Machine):
    """As for the daemon's start the bus is away: READY=1 comes without it."""

    def start(self):
        self.stop_bus()
        os.unlink(f"{self.directory}/bus")
        super().start()

    def stop_bus(self):
        self.bus.kill()
        self.bus.wait()

    def start_bus(self):
        self.bus = subprocess.Popen(["dbus-daemon", "--nofork", "--nopidfile", "--print-address=1",
                                     f"--config-file={self.directory}/bus.conf"], stdout=subprocess.PIPE,
                                    stderr=subprocess.DEVNULL)
        self.bus.stdout.readline()

    def wait_for_name(self):
        """NameOwnerChanged tells; GetNameOwner says whether it was before."""
        watch = subprocess.Popen(["dbus-monitor", "--address", self.address,
                                  "type='signal',member='NameOwnerChanged',arg0='org.memunplug1'"],
                                 stdout=subprocess.PIPE, text=True)
        try:
            assert watch.stdout.readline()      # it listens
            if self.busctl("call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "GetNameOwner", "s",
                           "org.memunplug1").returncode == 0:
                return
            for line in watch.stdout:
                if 'string "org.memunplug1"' in line:
                    return
        finally:
            watch.kill()
            watch.wait()


def test_a_late_bus_is_found(m):
    assert m.varlink("GetStatus")
    m.start_bus()
    m.wait_for_name()
    assert m.manager("Describe")[0].startswith("{")


def test_a_new_bus_is_found(m):
    m.stop_bus()
    assert m.varlink("GetStatus")
    m.start_bus()
    m.wait_for_name()
    assert m.manager("Describe")[0].startswith("{")


needs("dbus-daemon", "dbus-monitor", "busctl")
run_tests(LateMachine(), [value for name, value in list(globals().items()) if name.startswith("test_")])
