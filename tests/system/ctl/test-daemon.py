#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""memunplugctl and the real memunplugd above a made-up /sys: what one asks and the other answers fits together."""
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from program import ENVIRONMENT, PROGRAM, Terminal, contains, equal, run  # noqa: E402
from service import BLOCKS, PATIENCE, SIZE, Machine  # noqa: E402

machine = Machine()
ctl = machine.ctl


def test_status():
    contains(ctl(0).out, "Service: memunplugd ", "Engine: sysfs", "2G online, 1G removable, in blocks of 128M",
             "Job: none under way")
    status = json.loads(ctl(0, "status", "--json=short").out)
    equal((status["blockSizeBytes"], status["onlineBytes"]), (SIZE, BLOCKS * SIZE))


def test_blocks():
    lines = ctl(0, "blocks", "--no-legend").out.splitlines()
    equal(len(lines), BLOCKS)
    contains(lines[0], "0x0-0x7ffffff", "Normal", "guarded")
    contains(lines[15], "0x78000000-0x7fffffff", "Movable", "movable")
    blocks = json.loads(ctl(0, "-j", "blocks").out)
    equal([block["index"] for block in blocks], list(range(BLOCKS)))


def test_devices():
    contains(ctl(0, "devices").out, "boot", "1 device listed.")
    equal([device["name"] for device in json.loads(ctl(0, "-j", "devices").out)], ["boot"])


def test_no_jobs_yet():
    equal(ctl(0, "jobs").out, "0 jobs listed.\n")
    equal(ctl(0, "-j", "jobs").out, "[]\n")
    contains(ctl(1, "show", "1").err, "There is no job 1")
    contains(ctl(1, "cancel", "1").err, "There is no job 1")


def test_plan():
    contains(ctl(0, "plan", "512M").out, "Can be done.\n512M would go, an unknown part of it in use", "   15 128M")
    plan = json.loads(ctl(0, "plan", "14-15", "--json=short").out)
    equal([step["block"] for step in plan["steps"]], [15, 14])
    contains(ctl(1, "plan", "2G").out, "Cannot be done: ", "Cannot go:")
    contains(ctl(1, "plan", "99").err, "There is no memory block 99")
    equal(ctl(0, "plan", "-q", "128M").out, "")


def test_plan_by_node():
    def blocks(what):
        return [step["block"] for step in json.loads(ctl(0, "plan", what, "-j").out)["steps"]]
    equal(blocks("node:1"), [15, 14])
    equal(blocks("node:0"), [13, 12, 11, 10, 9, 8])
    equal(blocks("128M@node:0"), [13])
    contains(ctl(0, "plan", "node:0").out, "Can be done.\n768M would go", "Cannot go:")
    contains(ctl(1, "plan", "512M@node:1").out, "512M asked for, but 256M of node 1 can go")
    contains(ctl(1, "plan", "node:2").err, "There is no memory on a node 2")


def test_explain():
    contains(ctl(0, "explain", "0").out, "Block 0 is guarded: ")
    contains(ctl(1, "explain", "99").err, "There is no memory block 99")


def test_errors():
    contains(ctl(1, "unplug", "99").err, "There is no memory block 99")
    contains(ctl(1, "unplug", "PNP0C80:07").err, "There is no memory device 'PNP0C80:07'")
    assert ctl(77, "unplug", "0").err
    contains(ctl(1, "replug", "15").err, "Not possible now: ")


def test_unplug_and_replug():
    result = ctl(0, "unplug", "256M")
    contains(result.out, "Removed 256M in ")
    contains(result.err, "Job 1: offlining\n")
    contains(ctl(0, "status").out, "1.8G online")
    contains(ctl(0, "jobs", "--no-legend").out, "1 unplug    operator -      done  100% 256M    256M")
    contains(ctl(0, "show", "1").out, "Removed: 256M of 256M\n", "Blocks: 2 of 2\n")
    contains(ctl(1, "unplug", "15").err, "Not possible now: ")
    result = ctl(0, "replug", "14-15", "--json=short")
    equal(result.err, "")
    job = json.loads(result.out)
    equal((job["state"], job["operation"], job["removedBytes"]), ("done", "replug", 2 * SIZE))
    machine.settle()
    contains(ctl(0, "status").out, "2G online")


def test_unplug_partial():
    contains(ctl(1, "unplug", "2G").err, "Not possible now: 2G asked for, but 1G can go")
    result = ctl(64, "unplug", "2G", "--partial")
    contains(result.out, "Removed 1G of 2G in ")
    contains(result.err, " was done in part: 2G asked for, but 1G can go")
    ctl(0, "replug", "8-15")
    machine.settle()


def test_monitor_sees_a_job():
    with subprocess.Popen([PROGRAM, "--address=" + machine.address, "-j", "monitor"], stdout=subprocess.PIPE,
                          env=ENVIRONMENT) as monitor:
        equal(json.loads(monitor.stdout.readline())["event"], "ready")
        ctl(0, "unplug", "15")
        states = []
        while "done" not in states:
            event = json.loads(monitor.stdout.readline())
            if event["event"] == "job":
                states.append(event["job"]["state"])
        monitor.terminate()
    equal(states[0], "queued")
    ctl(0, "replug", "15")
    machine.settle()


def test_no_wait():
    contains(ctl(0, "unplug", "15", "--no-wait").out, " is under way; 'memunplugctl show ")
    jobs = json.loads(ctl(0, "-j", "jobs").out)
    number = str(jobs[-1]["id"])
    end = time.monotonic() + PATIENCE
    while json.loads(ctl(0, "-j", "show", number).out)["state"] != "done":
        assert time.monotonic() < end
    contains(ctl(1, "cancel", number).err, f"There is no job {number}, or it has ended")
    ctl(0, "replug", "15")
    machine.settle()


def test_terminal():
    contains(Terminal(machine, "unplug", "15").end().out, "Removed 128M in ")
    contains(Terminal(machine, "replug", "15").end().out, "Brought back 128M in ")
    machine.settle()


def test_metrics():
    out = ctl(0, "metrics").out
    contains(out, f"memunplug_online_bytes {BLOCKS * SIZE}\n", 'zone="Movable"')
    assert out.endswith("# EOF\n")


def test_permission():
    if os.geteuid() != 0:
        return
    os.chmod(machine.directory.name, 0o755)
    command = ["setpriv", "--reuid=65534", "--clear-groups", PROGRAM, "--address=" + machine.address]
    done = subprocess.run([*command, "status"], capture_output=True, text=True, env=ENVIRONMENT, timeout=PATIENCE)
    equal((done.returncode, done.stderr), (0, ""))
    done = subprocess.run([*command, "unplug", "128M"], capture_output=True, text=True, env=ENVIRONMENT,
                          timeout=PATIENCE)
    equal((done.returncode, done.stdout), (77, ""))
    contains(done.stderr, "Permission denied: only root may do this.")


def test_monitor_picture():
    """The blocks as they are, and as they become."""
    terminal = Terminal(machine, "monitor", columns=80, env={"NO_COLOR": "1"})
    terminal.until("boot                    0 --------oooooooo\x1b[K")
    ctl(0, "unplug", "14-15")
    terminal.until("boot                    0 --------oooooo__\x1b[K")
    ctl(0, "replug", "14-15")
    machine.settle()
    terminal.key(b"\x03")
    equal(terminal.end().code, 0)


def test_daemon_ends():
    terminal = Terminal(machine, "monitor")
    terminal.until("ready")
    equal(machine.end(), 0)
    result = terminal.end()
    equal(result.code, 69)
    contains(result.out, "The service closed the connection.")
    equal(run(machine, "status").code, 69)


if __name__ == "__main__":
    sys.exit(machine.run_tests(globals()))
