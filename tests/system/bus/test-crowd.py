#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-crowd.py MEMUNPLUGD TOP: one user offers the real daemon's socket ten thousand connections, another sends bytes
so slowly that no message ever ends, a third passes descriptors: the calls of somebody else are all answered meanwhile,
and nothing stays open."""
import array
import json
import os
import resource
import socket
import sys
import time

from machine import PATIENCE, Machine, needs, run_tests
from other import Other

OFFERED, HELD, CALLS, LORIS, PASSED = 10000, 1000, 500, 64, 200
PER_UID_MAX = 64        # VARLINK_CONNECTIONS_PER_UID_MAX
CROWD_UID, CALLER_UID, LORIS_UID, GIVER_UID = 65534, 64001, 64002, 64003
CALL = b'{"method":"org.memunplug.GetStatus"}\0'


def connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)     # blocking: it waits its turn where a queue is full, as any client does
    s.settimeout(PATIENCE)
    return s


def answer(s):
    data = b""
    while not data.endswith(b"\0"):
        piece = s.recv(65536)
        if not piece:
            raise EOFError("closed before the answer")
        data += piece
    return json.loads(data[:-1])


def is_served(s):
    """Whether it answers; False: it was closed without an answer."""
    try:
        s.sendall(CALL)
        return "version" in answer(s)["parameters"]
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return False


def crowd(path):
    """Offers connections, each held as long as HELD others come after it. How many of the last were served."""
    held = []
    for _ in range(OFFERED):
        held.append(connect(path))
        if len(held) > HELD:
            held.pop(0).close()
    return sum(is_served(s) for s in held)


def calls(path, other=None):
    """Seconds of each call, by turns on a connection of its own and on one that stays; until the other has ended."""
    times = []
    with connect(path) as stays:
        while len(times) < CALLS or other and not other.has_ended(0):
            begin = time.monotonic()
            if len(times) % 2:
                with connect(path) as s:
                    s.sendall(CALL)
                    reply = answer(s)
            else:
                stays.sendall(CALL)
                reply = answer(stays)
            times.append(time.monotonic() - begin)
            assert "version" in reply["parameters"], reply
    return sorted(times)


def loris(path):
    """Seconds until each was cut."""
    open_ones, times, begin = [connect(path) for _ in range(LORIS)], [], time.monotonic()
    for s in open_ones:
        s.setblocking(False)
    for byte in CALL[:-1] + b" " * 10000:
        for s in list(open_ones):
            try:
                s.send(bytes([byte]))
                s.recv(1)
            except BlockingIOError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                pass
            times.append(time.monotonic() - begin)
            open_ones.remove(s)
            s.close()
        if not open_ones or time.monotonic() - begin > PATIENCE:
            break
        time.sleep(0.1)         # what makes it slow
    return times


def give(path):
    """Calls with descriptors along. Whether all were answered and nobody has them afterwards."""
    reading, writing = os.pipe()
    many = array.array("i", [writing] * PASSED)
    with connect(path) as s:
        for _ in range(20):
            s.sendmsg([CALL], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, many)])
            assert "version" in answer(s)["parameters"]
        os.close(writing)
        return os.read(reading, 1) == b""


def fds(m):
    return len(os.listdir(f"/proc/{m.daemon.pid}/fd"))


def settle(m, expected):
    """Each question lets it turn once more."""
    for _ in range(1000):
        if fds(m) <= expected:
            return
        m.varlink("GetStatus")
    raise AssertionError(os.listdir(f"/proc/{m.daemon.pid}/fd"))


def say(what, times):
    print(f"# {what}: {len(times)} calls, p50 {times[len(times) // 2] * 1e3:.1f} ms, "
          f"p99 {times[len(times) * 99 // 100] * 1e3:.1f} ms, longest {times[-1] * 1e3:.1f} ms")


def test_ten_thousand_connections(m):
    path, before = f"{m.directory}/varlink", fds(m)
    say("alone", Other(CALLER_UID, calls, path).result())
    served = Other(CROWD_UID, crowd, path)
    times = Other(CALLER_UID, calls, path, served).result()
    served = served.result()
    say(f"with {OFFERED} connections offered by another user", times)
    # Of the held ones those that came first after others had gone are served: never more than the limit.
    assert 0 < served <= PER_UID_MAX, served
    settle(m, before)


def test_slow_senders_are_cut(m):
    path, before = f"{m.directory}/varlink", fds(m)
    slow = Other(LORIS_UID, loris, path)
    say(f"with {LORIS} slow senders", Other(CALLER_UID, calls, path, slow).result())
    times = slow.result()
    assert len(times) == LORIS, f"{LORIS - len(times)} were not cut"
    print(f"# {LORIS} slow senders cut after {min(times):.1f} to {max(times):.1f} s")
    settle(m, before)


def test_descriptors_are_not_kept(m):
    before = fds(m)
    assert Other(GIVER_UID, give, f"{m.directory}/varlink").result()
    settle(m, before)


if os.geteuid() != 0:
    print("1..0 # SKIP only root can be other users")
    sys.exit(0)
needs("dbus-daemon")
resource.setrlimit(resource.RLIMIT_NOFILE, (HELD + 200, HELD + 200))
run_tests(Machine(), [value for name, value in list(globals().items()) if name.startswith("test_")])
