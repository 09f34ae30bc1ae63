#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-bus-fuzz.py MEMUNPLUGD TOP: nobody calls whatever the daemon's objects say that they have, and what they do not
have, with edge values of the right types and of any types, one after the other and many at once. Each call is answered,
others are meanwhile, nothing is changed by it and nothing stays behind. $MEMUNPLUG_BUS_CALLS and $MEMUNPLUG_BUS_SEED for
longer and other runs; $MEMUNPLUG_DFUZZER is the path of a dfuzzer, which then does likewise."""
import json
import os
import random
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

from machine import BLOCKS, PATIENCE, Machine, needs, needs_module, run_tests
from other import Other

jeepney = needs_module("jeepney.io.blocking", "python3-jeepney")

NOBODY = 65534
CALLS = int(os.environ.get("MEMUNPLUG_BUS_CALLS", "4000"))
SEED = int(os.environ.get("MEMUNPLUG_BUS_SEED", "2007"))
SECONDS = None if "MEMUNPLUG_BUS_CALLS" in os.environ else 30       # a loaded machine does fewer
DFUZZER = os.environ.get("MEMUNPLUG_DFUZZER")
BURST = 40              # calls sent before the first answer is read
GROWTH_MAX = 8 << 20    # bytes that the daemon may be larger afterwards
INTEGERS = {"y": 8, "n": -16, "q": 16, "i": -32, "u": 32, "x": -64, "t": 64}
TEXTS = ["", "boot", "PNP0C80:00", "deadline_usec", "allow_partial", "node", "../../../etc/passwd", "%s%n%p", "\"}", "\n",
         "\x1b[31m", "\u00e4\u20ac\U0001f600", "org.memunplug1.Manager", "State", "x" * 255, "y" * 70000]
PATHS = ["/", "/org/memunplug1", "/org/memunplug1/job/_1", "/org/memunplug1/job/_4294967295", "/org/memunplug1/job/_x",
         "/org/memunplug1/job", "/org/freedesktop/LogControl1", "/a" * 200]


class Caller:
    """Makes up calls. objects: {path: {interface: {member: signature}}}."""

    def __init__(self, objects, seed):
        self.random = random.Random(seed)
        self.known = [(path, interface, member, signature) for path, interfaces in sorted(objects.items())
                      for interface, members in sorted(interfaces.items())
                      for member, signature in sorted({"Nothing": "", **members}.items())]

    def integer(self, kind):
        bits = INTEGERS[kind]
        low, high = (-2**(-bits - 1), 2**(-bits - 1) - 1) if bits < 0 else (0, 2**bits - 1)
        edges = [low, high, 0, 1, 13, 15, high // 2, high // 2 + 1, min(high, 4096)]
        return self.random.choice(edges) if self.random.randrange(4) else self.random.randint(low, high)

    def basic(self, kind):
        if kind in INTEGERS:
            return self.integer(kind)
        return {"b": lambda: bool(self.random.randrange(2)), "d": lambda: self.random.choice([0.0, -1.5, 1e308, 1e-308]),
                "s": lambda: self.random.choice(TEXTS), "o": lambda: self.random.choice(PATHS),
                "g": lambda: self.random.choice(["", "s", "a{sv}", "(uo)"])}[kind]()

    def array(self, kind):
        """Sometimes longer than a list of blocks may be."""
        many = 4097 if kind in INTEGERS and self.random.randrange(10) == 0 else self.random.randrange(5)
        return [self.basic(kind) for _ in range(many)]

    def variant(self):
        kind = self.random.choice("ybnqiuxtdsog")
        if self.random.randrange(4):
            return kind, self.basic(kind)
        return "a" + kind, self.array(kind)

    def value(self, kind):
        """Of the types that our interfaces have."""
        if kind == "v":
            return self.variant()
        if kind == "a{sv}":
            return {self.random.choice(TEXTS): self.variant() for _ in range(self.random.randrange(5))}
        if kind[0] == "a":
            return self.array(kind[1])
        return self.basic(kind)

    def kinds(self, signature):
        kinds = []
        while signature:
            n = 5 if signature.startswith("a{sv}") else 2 if signature[0] == "a" else 1
            kinds.append(signature[:n])
            signature = signature[n:]
        return kinds

    def arguments(self, signature):
        """Of the right types three times of four."""
        if self.random.randrange(4) == 0:
            signature = "".join(self.random.choice(["y", "b", "n", "q", "i", "u", "x", "t", "d", "s", "o", "g", "v", "as",
                                                    "at", "a{sv}"]) for _ in range(self.random.randrange(6)))
        return signature, tuple(self.value(kind) for kind in self.kinds(signature))

    def call(self):
        path, interface, member, signature = self.random.choice(self.known)
        signature, body = self.arguments(signature)
        if self.random.randrange(20) == 0:
            path = self.random.choice(PATHS)
        if self.random.randrange(20) == 0:
            member = self.random.choice(["Nothing", "Unplug", "x" * 255])
        address = jeepney.DBusAddress(path, "org.memunplug1", interface)
        return jeepney.new_method_call(address, member, signature or None, body)


def look(bus, path, objects):
    """What the object and those below it say that they have."""
    address = jeepney.DBusAddress(path, "org.memunplug1", "org.freedesktop.DBus.Introspectable")
    reply = bus.send_and_get_reply(jeepney.new_method_call(address, "Introspect"), timeout=PATIENCE)
    tree = ET.fromstring(reply.body[0])
    interfaces = {
        interface.get("name"): {
            method.get("name"): "".join(a.get("type") for a in method.findall("arg") if a.get("direction") != "out")
            for method in interface.findall("method")} for interface in tree.findall("interface")}
    if interfaces:
        objects[path] = interfaces
    for node in tree.findall("node"):
        look(bus, f"{path.rstrip('/')}/{node.get('name')}", objects)


def fuzz(address):
    """[calls, replies, errors of each name, members tried, objects]"""
    bus = jeepney.io.blocking.open_dbus_connection(address, auth_timeout=PATIENCE)
    objects, errors, tried, replies, begin = {}, {}, set(), 0, time.monotonic()
    look(bus, "/", objects)
    caller, calls = Caller(objects, SEED), 0
    while calls < CALLS and (not SECONDS or time.monotonic() - begin < SECONDS):
        waiting = {}
        for _ in range(caller.random.choice([1, 1, 1, BURST])):
            message, calls = caller.call(), calls + 1
            serial = next(bus.outgoing_serial)
            bus.send(message, serial=serial)
            waiting[serial] = message.header.fields
            tried.add(message.header.fields[jeepney.HeaderFields.member])
        while waiting:
            reply = bus.receive(timeout=PATIENCE)       # which fails if none comes
            if waiting.pop(reply.header.fields.get(jeepney.HeaderFields.reply_serial), None) is None:
                continue
            replies += 1
            if reply.header.message_type == jeepney.MessageType.error:
                name = reply.header.fields[jeepney.HeaderFields.error_name]
                errors[name] = errors.get(name, 0) + 1
    return [calls, replies, errors, sorted(tried), sorted(objects)]


def size(m):
    """Resident bytes, or 0 where a sanitizer keeps what was freed."""
    with open(f"/proc/{m.daemon.pid}/maps") as f:
        if "libasan" in f.read():
            return 0
    with open(f"/proc/{m.daemon.pid}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def fds(m):
    return len(os.listdir(f"/proc/{m.daemon.pid}/fd"))


def dfuzzer(address):
    """[exit status, what it printed]"""
    env = os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": address, "DBUS_SESSION_BUS_ADDRESS": address}
    run = subprocess.run([DFUZZER, "--verbose", "--no-suppressions", "--bus=org.memunplug1"], env=env, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace", check=False)
    return [run.returncode, run.stdout]


def unchanged(m):
    return all((m.root / f"sys/devices/system/memory/memory{block}/state").read_text() == "online\n"
               for block in range(BLOCKS))


def test_nobody_calls_anything(m):
    m.hold_jobs()
    number, path = m.manager("Unplug", "tatsa{sv}", "0", "1", "15", "", "0")
    m.wait_for_state(number, "planning")
    before = m.varlink("ListJobs", {"id": number}), size(m), fds(m)
    other, asked = Other(NOBODY, fuzz, m.address), 0
    while not other.has_ended(0.2):
        assert json.loads(m.manager("Describe")[0])["job"]["id"] == number
        asked += 1
    calls, replies, errors, tried, objects = other.result()
    print(f"# seed {SEED}: {calls} calls of {len(tried)} members of {len(objects)} objects; {asked} other questions")
    for name, count in sorted(errors.items(), key=lambda item: -item[1]):
        print(f"#   {count} {name}")
    assert calls == replies and calls >= min(CALLS, 500)
    assert path in objects and {"Unplug", "Cancel", "Set", "GetManagedObjects"} <= set(tried), (objects, tried)
    # Refused for what it is, for who asks, and let through: all three happened often.
    assert errors["org.freedesktop.DBus.Error.InvalidArgs"] > calls / 20, errors
    assert errors["org.freedesktop.DBus.Error.AccessDenied"] > calls / 100, errors
    assert replies - sum(errors.values()) > calls / 20, errors
    assert "org.freedesktop.DBus.Error.NoReply" not in errors
    assert m.varlink("ListJobs", {"id": number}) == before[0]
    end = time.monotonic() + PATIENCE   # on a busy machine the last question's connection is still there
    while fds(m) > before[2] and time.monotonic() < end:
        time.sleep(0.05)
    assert size(m) < before[1] + GROWTH_MAX and fds(m) <= before[2], (before, size(m), fds(m))
    assert unchanged(m)


def dfuzzer_finds_nothing(m):
    other = Other(NOBODY, dfuzzer, m.address)
    while not other.has_ended(0.2):
        m.manager("Describe")
    status, text = other.result()
    print(f"# dfuzzer: {text.count('PASS [')} passed, {text.count('SKIP [')} refused")
    assert status == 0 and "FAIL" not in text and "PASS [M] Plan" in text and "SKIP [M] Unplug" in text, text
    assert m.daemon.poll() is None and unchanged(m)


if os.geteuid() != 0:
    print("1..0 # SKIP only root can be another user")
    sys.exit(0)
needs("dbus-daemon", "busctl")
run_tests(Machine(), [test_nobody_calls_anything] + [dfuzzer_finds_nothing] * bool(DFUZZER))
