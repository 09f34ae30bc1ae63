#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-mutator.py MEMUNPLUGD TOP: thousands of connections with damaged messages to the real daemon's socket, in pieces,
cut off, and several at a time. Whatever it answers is a reply; others are answered meanwhile; nothing stays open."""
import json
import os
import random
import selectors
import socket

from machine import PATIENCE, TOP, Machine, needs, run_tests

CONNECTIONS, AT_A_TIME, SEED = 3000, 8, 2007
OF_A_JOB = 8            # descriptors that a job may have open: some of the damaged calls are good ones
CORPUS = [file.read_bytes()[1:] for file in sorted((TOP / "tests/fuzz/corpus/varlink").iterdir())]
WORDS = [b"\0", b"{", b"}", b"[", b'"', b"\\u0000", b"\xff", b"null", b"-0", b"1e999", b"18446744073709551616",
         b'"more":true', b'"parameters":{', b"org.memunplug.", b"org.varlink.service.GetInfo"]


def mutate(rng):
    data = bytearray(rng.choice(CORPUS))
    for _ in range(rng.randrange(6)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            data[at:at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            del data[at:at + rng.randrange(1, 20)]
        elif kind == 2:
            data[at:at] = rng.choice(WORDS)
        elif kind == 3:
            data[at:at] = rng.choice(CORPUS)
        else:
            data[at:at] = data[:at] * rng.randrange(1, 4)
    return bytes(data[:200000])


def fds(m):
    return len(os.listdir(f"/proc/{m.daemon.pid}/fd"))


def speak(m, rng):
    """One connection with something sent, perhaps not to its end, and perhaps no more to come."""
    s = socket.socket(socket.AF_UNIX)
    s.connect(f"{m.directory}/varlink")
    s.setblocking(False)
    data = mutate(rng)
    step = rng.choice([1, 7, 100, 1 << 20])
    try:
        for at in range(0, min(len(data), step * 300), step):
            s.send(data[at:at + step])
        if rng.randrange(2):
            s.shutdown(socket.SHUT_WR)
    except (BlockingIOError, BrokenPipeError, ConnectionResetError):
        pass                # it had enough
    return s


def hear(s):
    """All that is there by now: whole replies, but for the last."""
    data = b""
    try:
        while piece := s.recv(65536):
            data += piece
    except (BlockingIOError, ConnectionResetError):
        pass
    for message in data.split(b"\0")[:-1]:
        reply = json.loads(message)
        assert isinstance(reply["parameters"], dict) and set(reply) <= {"parameters", "error", "continues"}, reply
    return data.count(b"\0")


def test_damaged_messages(m):
    rng = random.Random(SEED)
    before, replies = fds(m), 0
    for _ in range(CONNECTIONS // AT_A_TIME):
        peers = [speak(m, rng) for _ in range(AT_A_TIME)]
        assert m.varlink("GetStatus")[0]["version"]     # and by then it has looked at the others
        replies += sum(hear(s) for s in peers)
        for s in peers:
            s.close()
    assert replies > CONNECTIONS // 10, replies
    print(f"# {CONNECTIONS} connections, {replies} replies")
    for _ in range(100):    # each question lets it turn once more
        if fds(m) <= before + OF_A_JOB:
            break
        m.varlink("GetStatus")
    assert fds(m) <= before + OF_A_JOB, os.listdir(f"/proc/{m.daemon.pid}/fd")


def test_a_half_message_is_cut(m):
    """Who begins and does not go on is closed, while another is answered."""
    with socket.socket(socket.AF_UNIX) as s, selectors.DefaultSelector() as selector:
        s.connect(f"{m.directory}/varlink")
        s.send(b'{"method":"org.')
        assert m.varlink("GetStatus")
        selector.register(s, selectors.EVENT_READ)
        assert selector.select(PATIENCE) and s.recv(1) == b""


needs("dbus-daemon")
run_tests(Machine(), [value for name, value in list(globals().items()) if name.startswith("test_")])
