#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""ipc.py MEMUNPLUGD TOP BENCHDIR: what a call costs, against the least that can be called a service, both in one run
on one processor, in the order A B B A. On Varlink the peer is empty-varlink, which answers the same bytes; on D-Bus
it is empty-bus on the same bus-daemon. Calls that do no work of ours must not cost more than LIMIT times as much in
the middle (p50). Cancel of a job that there is not also passes authorization, the validator and the queue, and has a
limit of its own; GetStatus, which looks at the machine, is stated only."""
import json
import os
import pathlib
import socket
import subprocess
import sys

TOP = pathlib.Path(sys.argv[2])
sys.path.insert(0, str(TOP / "tests/system/bus"))
from machine import Machine, needs                                  # noqa: E402

TOOLS = pathlib.Path(sys.argv[3])
CALLS, LIMIT = 20000, 1.10
PEER = "org.memunplug.Empty"
POLICY = (f'<policy user="{os.geteuid()}"><allow own="{PEER}"/></policy>'
          f'<policy context="default"><allow send_destination="{PEER}"/></policy>')
# what is called, with what, its limit
VARLINK = [("org.varlink.service.GetInfo", {}, LIMIT),
           ("org.memunplug.Cancel", {"id": 4000000000}, 1.25),
           ("org.memunplug.GetStatus", {}, None)]
BUS = ["ListJobs", "=Version"]


def message(method, parameters):
    return json.dumps({"method": method, "parameters": parameters}, separators=(",", ":"))


def ask(path, text):
    """The bytes that the daemon answers."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        s.sendall(text.encode() + b"\0")
        data = b""
        while not data.endswith(b"\0"):
            data += s.recv(65536)
    return data[:-1].decode()


def start(name, *arguments, env):
    peer = subprocess.Popen([TOOLS / f"bench-{name}", *arguments], stdout=subprocess.PIPE, text=True, env=env)
    assert peer.stdout.readline() == "ready\n", f"{name} did not start"
    return peer


def measure(what, limit, *arguments, env):
    """Whether it is within the limit; says the figures."""
    done = subprocess.run([TOOLS / "bench-calls", *arguments], stdout=subprocess.PIPE, text=True, check=True, env=env)
    ours50, ours99, peer50, peer99 = map(int, done.stdout.split())
    good = not limit or ours50 <= limit * peer50
    print(f"{what}: p50 {ours50 / peer50:.3f}x ({ours50 / 1e3:.1f} to {peer50 / 1e3:.1f} us), p99 "
          f"{ours99 / peer99:.3f}x ({ours99 / 1e3:.1f} to {peer99 / 1e3:.1f} us), {CALLS} calls each"
          + (f"; limit p50 {limit}x" if limit else "; no limit") + ("" if good else ": TOO SLOW"), flush=True)
    return good


def main():
    needs("dbus-daemon")
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    machine = Machine(bus_config=POLICY)
    env = os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": machine.address}
    ours, theirs = f"{machine.directory}/varlink", f"{machine.directory}/empty"
    answers = [part for method, parameters, _ in VARLINK
               for part in (method, ask(ours, message(method, parameters)))]
    peers = [start("empty-varlink", theirs, *answers, env=env),
             start("empty-bus", PEER, "/org/memunplug1", "org.memunplug1.Manager", env=env)]
    good = []
    try:
        for method, parameters, limit in VARLINK:
            good.append(measure(f"Varlink {method}", limit, "varlink", str(CALLS), message(method, parameters),
                                ours, theirs, env=env))
        for member in BUS:
            good.append(measure(f"D-Bus {member.replace('=', 'property ')}", LIMIT, "bus", str(CALLS),
                                "/org/memunplug1", "org.memunplug1.Manager", member, "org.memunplug1", PEER, env=env))
    finally:
        for peer in peers:
            peer.kill()
            peer.wait()
        ended = machine.end()
    return 0 if all(good) and ended == 0 else 1


sys.exit(main())
