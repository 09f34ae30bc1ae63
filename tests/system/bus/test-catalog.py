#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-catalog.py MEMUNPLUGD TOP: what the real daemon sends to the journal, in a mount namespace with a journal of our
own: each message that has an id has the fields that its entry in the catalog speaks of, and each that can happen on a
made-up machine does."""
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

import authority
from machine import PATIENCE, TOP, Machine, needs, run_tests

ELSEWHERE = {"JOB_PARTIAL", "WORKER_STUCK"}     # need a kernel that refuses, or never answers
NAMES = {number: name for name, number in
         re.findall(r'MEMUNPLUG_MESSAGE_(\w+) "(\w+)"', (TOP / "daemon/util/message-ids.h").read_text())}
ENTRIES = {text[:32]: text for text in (TOP / "units/memunplugd.catalog").read_text().split("\n-- ")[1:]}


class Journal(threading.Thread):
    """Takes what sd_journal_send() sends."""

    def __init__(self):
        super().__init__(daemon=True)
        os.makedirs("/run/systemd/journal")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("/run/systemd/journal/socket")
        self.messages, self.came = [], threading.Condition()

    def run(self):
        while True:
            text = self.socket.recv(1 << 20).decode()
            fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
            with self.came:
                self.messages.append(fields)
                self.came.notify_all()

    def wait_for(self, name, **wanted):
        """The first message of this name with these fields."""
        def find():
            return next((m for m in self.messages if NAMES.get(m.get("MESSAGE_ID")) == name and
                         wanted.items() <= m.items()), None)
        with self.came:
            assert self.came.wait_for(find, PATIENCE), (name, wanted, self.messages)
            return find()


class Logged(Machine):
    """Its standard error, which is ours, is what $JOURNAL_STREAM names."""

    def __init__(self):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
        self.journal = Journal()
        self.journal.start()
        self.stderr = tempfile.TemporaryFile()
        os.dup2(self.stderr.fileno(), 2)
        st = os.fstat(2)
        os.environ["JOURNAL_STREAM"] = f"{st.st_dev}:{st.st_ino}"
        super().__init__("--log-level=debug")       # which has each state of a job

    def make_tree(self):
        super().make_tree()
        self.put("etc/memunplug/memunplugd.conf.d/60-wrong.conf", "[Unplug]\nRetries=many\n")
        self.hold_jobs()

    def hold_one(self):
        number = self.varlink("Unplug", {"blocks": [14]})[0]["job"]["id"]
        self.wait_for_state(number, "planning")
        return number


def children(pid):
    """What the programs of the children are."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "stat").read_text().rsplit(")", 1)[1].split()[1] == str(pid):
                found.append(os.readlink(folder / "exe"))
        except OSError:
            pass            # it has just ended
    return found


def test_start(m):
    m.journal.wait_for("ENGINE_SYSFS")
    assert "many" in m.journal.wait_for("CONFIG_INVALID")["MESSAGE"]


def test_jobs(m):
    number = m.hold_one()
    m.journal.wait_for("JOB_ACCEPTED", MEMUNPLUG_JOB=str(number))
    m.varlink("Cancel", {"id": number})
    m.journal.wait_for("JOB_CANCELLED", MEMUNPLUG_JOB=str(number), MEMUNPLUG_STATE="cancelled")
    number = m.hold_one()
    m.release_job()
    m.journal.wait_for("JOB_STATE", MEMUNPLUG_JOB=str(number), MEMUNPLUG_STATE="offlining")
    m.journal.wait_for("JOB_DONE", MEMUNPLUG_JOB=str(number))
    assert isinstance(m.varlink("Unplug", {"blocks": [1]}), str)
    m.journal.wait_for("REQUEST_REFUSED")


def test_a_job_that_is_interrupted(m):
    m.put("sys/devices/system/memory/memory14/state", "online\n")
    number = m.hold_one()
    # Until then it is the daemon's program, which has the state locked.
    end = time.monotonic() + PATIENCE
    while not (programs := children(m.daemon.pid)) or any("memunplugd" in program for program in programs):
        assert time.monotonic() < end, programs
        time.sleep(0.01)
    m.daemon.send_signal(signal.SIGKILL)
    m.daemon.wait(PATIENCE)
    m.start()
    m.journal.wait_for("INTERRUPTED", MEMUNPLUG_JOB=str(number))
    m.put("etc/memunplug/hooks.d/10-wait", "#!/bin/sh\necho not now\nexit 1\n")
    number = m.varlink("Unplug", {"blocks": [14]})[0]["job"]["id"]
    assert "not now" in m.journal.wait_for("JOB_FAILED", MEMUNPLUG_JOB=str(number))["MEMUNPLUG_REASON"]


def test_fields_are_there(m):
    came = set()
    for message in m.journal.messages:
        if "MESSAGE_ID" in message:
            fields = set(re.findall("@(\\w+)@", ENTRIES[message["MESSAGE_ID"]]))
            assert fields <= set(message), (fields, message)
            came.add(NAMES[message["MESSAGE_ID"]])
    assert set(NAMES.values()) == came | ELSEWHERE, came


authority.go_inside()
needs("dbus-daemon")
run_tests(Logged(), [value for name, value in list(globals().items()) if name.startswith("test_")])
