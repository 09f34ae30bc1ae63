#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""idle.py MEMUNPLUGD TOP: the daemon with nothing to do, with a bus and without one, for a minute: it must not wake up
once, and its memory must stay below the limit and what the table of blocks needs. Reads /proc of the daemons only
before and after. Nine tenths of the RSS are pages of shared libraries; how many of them the kernel maps along with
those that are used differs from start to start, so that the median of several starts is judged."""
import os
import pathlib
import statistics
import subprocess
import sys
import time

TOP = pathlib.Path(sys.argv[2])
sys.path.insert(0, str(TOP / "tests/system/bus"))
from machine import BLOCKS, Machine, needs                          # noqa: E402

SECONDS = 60
RSS_MAX_KIB = 3584
STARTS = 5
OWN_MAX_KIB = 448                       # written by the daemon: its own, by no chance
BLOCK_BYTES = 128                       # at most, for each memory block in the table
KEYS = ("Rss", "Pss", "Private_Dirty")


class WithoutBus(Machine):
    """The same machine with no bus to be found: the daemon serves Varlink."""

    def start(self):
        self.address = "unix:path=/sys/no-bus"      # and nothing happens in that folder
        super().start()


def wakeups(pid):
    """How often it was taken off the processor, by itself or by others."""
    fields = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["voluntary_ctxt_switches"]), int(fields["nonvoluntary_ctxt_switches"])


def memory(pid):
    """KiB."""
    fields = {}
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        key, value = line.split(":")
        fields[key] = int(value.split()[0])
    return [fields[key] for key in KEYS]


def after_first_client(machine):
    machine.varlink("GetStatus")
    return machine


def typical_rss(make):
    """KiB: (median, least, most) of several starts."""
    values = []
    for _ in range(STARTS):
        machine = make()
        try:
            values.append(memory(after_first_client(machine).daemon.pid)[0])
        finally:
            machine.end()
    return statistics.median(values), min(values), max(values)


def settled(pid):
    """Start-up is over when nothing ran for two seconds."""
    before = None
    for _ in range(30):
        now = wakeups(pid)
        if now == before:
            return
        before = now
        time.sleep(2)
    raise TimeoutError(f"the daemon does not come to rest: {before}")


def main():
    needs("dbus-daemon")
    kinds = {"with a bus": Machine, "without a bus": WithoutBus}
    typical = {name: typical_rss(make) for name, make in kinds.items()}
    machines = {name: make() for name, make in kinds.items()}
    good = True
    try:
        for m in machines.values():
            settled(after_first_client(m).daemon.pid)
        before = {name: wakeups(m.daemon.pid) for name, m in machines.items()}
        time.sleep(SECONDS)             # what is measured
        for name, m in machines.items():
            after = wakeups(m.daemon.pid)
            count = sum(after) - sum(before[name])
            _, pss, dirty = memory(m.daemon.pid)
            rss, least, most = typical[name]
            limit = RSS_MAX_KIB + BLOCKS * BLOCK_BYTES // 1024
            ok = count == 0 and rss <= limit and dirty <= OWN_MAX_KIB
            good = good and ok
            print(f"{name}: {count} wakeups in {SECONDS} s; RSS {rss} KiB, {least} to {most} in {STARTS} starts (limit {limit}), "
                  f"PSS {pss}, its own {dirty} of {OWN_MAX_KIB}" + ("" if ok else ": TOO MUCH"), flush=True)
    finally:
        ended = [m.end() for m in machines.values()]
    return 0 if good and not any(ended) else 1


sys.exit(main())
