#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-matrix.py MEMUNPLUGD TOP: who may do what, all of it: every method of the interface files, asked by nobody, a
user, a member of a group that a polkit rule names, and root, on D-Bus and on Varlink, and by the hypervisor on its
port under each of its policies. Asked is for what is not there, so that whoever is let through changes nothing and is
told just that; and every front must tell it by the same error."""
import json
import os
import re
import socket
import xml.etree.ElementTree as ET

import authority
from machine import BLOCKS, PATIENCE, SIZE, TOP, needs, run_tests
from other import Other
from port import PortMachine, message

USERS = {"nobody": 65534, "user": 64010, "memory-admins": 64011, "root": 0}
ABSENT = {"blocks": [4000000]}
ABSENT_BUS = ("tatsa{sv}", "0", "1", "4000000", "", "0")
CHANGING = {"Unplug", "Replug", "Cancel", "Confirm"}
# For each method of org.memunplug: parameters; the member of the bus's Manager and its arguments; the answer's key, or
# the error by which one knows that it was let through, and the key on the bus if it is another.
CALLS = {
    "GetStatus": ({}, ("Describe",), "version"),
    "ListBlocks": ({}, ("ListBlocks",), "block", "index"),
    "ListDevices": ({}, ("ListDevices",), "device", "kind"),
    "Plan": ({"sizeBytes": SIZE}, ("Plan", "tatsa{sv}", str(SIZE), "0", "", "0"), "feasible"),
    "Unplug": (ABSENT, ("Unplug", *ABSENT_BUS), "NoSuchBlock"),
    "Replug": (ABSENT, ("Replug", *ABSENT_BUS), "NoSuchBlock"),
    "Cancel": ({"id": 999}, ("Cancel", "u", "999"), "NoSuchJob"),
    "Confirm": ({"id": 999}, ("Confirm", "u", "999"), "NoSuchJob"),
    "ListJobs": ({"id": 999}, ("DescribeJob", "u", "999"), "NoSuchJob"),
    "Explain": ({"block": BLOCKS - 1}, ("Explain", "u", str(BLOCKS - 1)), "verdict"),
    "Diagnose": ({}, ("Diagnose",), "findings"),
    "Monitor": ({}, None, "event"),
}
STREAMS = {"ListBlocks", "ListDevices", "Monitor"}
ON_BUS_ONLY = {"ListJobs": ("[]",)}     # the bus's has no argument: all jobs
WORDS = {"NoSuchBlock": "No memory block", "NoSuchJob": "No job"}


class WithPort(PortMachine):
    def __init__(self, policy, **options):
        super().__init__(policy, "--user=memunplug", owner=authority.OWN_UID, **options)

    def make_tree(self):
        super().make_tree()
        self.hold_jobs()

    def ask(self, method):
        """The first reply to the hypervisor. Lists come to their end; the next call ends what has none."""
        return self.say(f"org.memunplug.{method}", CALLS[method][0], method in STREAMS, method == "Monitor")[0]

    def has_port_open(self):
        folder = f"/proc/{self.daemon.pid}/fd"
        return os.ttyname(self.guest) in [os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder)]


def verdict(reply, method):
    """Of a Varlink reply: True, it was let through; False, it was denied. Anything else is wrong."""
    expected = CALLS[method][2]
    if reply.get("error") == "org.varlink.service.PermissionDenied":
        return False
    assert reply.get("error") == f"org.memunplug.{expected}" or "error" not in reply and \
        expected in reply["parameters"], (method, reply)
    return True


def ask_varlink(path):
    """The first reply to each method, each on a connection of its own, as whoever this process is."""
    replies = {}
    for method in CALLS:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(path)
            s.sendall(message(f"org.memunplug.{method}", CALLS[method][0], method in STREAMS))
            data = b""
            while b"\0" not in data:
                data += s.recv(65536)
            replies[method] = json.loads(data.split(b"\0")[0])
    return replies


def ask_bus(m, member, arguments, expected, uid):
    answer = m.manager(member, *arguments, uid=uid)
    if isinstance(answer, str) and ("nteractive auth" in answer or "ccess denied" in answer):
        return False
    if expected in WORDS:
        assert isinstance(answer, str) and WORDS[expected] in answer, (member, answer)
    else:
        assert expected in json.dumps(answer), (member, answer)
    return True


def test_every_method_is_here(m):
    """What the interface files have is what is asked."""
    text = (TOP / "daemon/front/org.memunplug.varlink").read_text()
    assert set(re.findall(r"^method (\w+)", text, re.M)) == set(CALLS)
    manager = ET.parse(TOP / "units/org.memunplug1.Manager.xml").getroot()
    members = {method.get("name") for method in manager.iter("method")}
    assert members == {call[1][0] for call in CALLS.values() if call[1]} | set(ON_BUS_ONLY)
    job = ET.parse(TOP / "units/org.memunplug1.Job.xml").getroot()
    assert {method.get("name") for method in job.iter("method")} == {"Cancel", "Confirm", "Describe"}  # test_jobs_methods


def test_varlink(m):
    for name, uid in USERS.items():
        replies = Other(uid, ask_varlink, f"{m.directory}/varlink").result()
        for method, reply in replies.items():
            assert verdict(reply, method) == (method not in CHANGING or name == "root"), (name, method, reply)
    replies = Other(authority.OWN_UID, ask_varlink, f"{m.directory}/varlink").result()      # the daemon's own
    assert all(verdict(reply, method) for method, reply in replies.items()), replies


def test_bus(m):
    for name, uid in USERS.items():
        for method, (_, call, *expected) in CALLS.items():
            if call:
                may = method not in CHANGING or name in ("root", "memory-admins")
                assert ask_bus(m, call[0], call[1:], expected[-1], uid) == may, (name, call)
        for member, (expected,) in ON_BUS_ONLY.items():
            assert ask_bus(m, member, (), expected, uid), (name, member)


def test_log_level_on_the_bus(m):
    """What is not ours to allow: it does not get past the bus but from root."""
    for name, uid in USERS.items():
        done = m.busctl("set-property", "org.memunplug1", "/org/freedesktop/LogControl1",
                        "org.freedesktop.LogControl1", "LogLevel", "s", "info", uid=uid)
        assert (done.returncode == 0) == (name == "root"), (name, done)


def test_jobs_methods(m):
    """A job's methods on the bus, of a job that waits for a program of the administrator."""
    number, path = m.manager("Unplug", "tatsa{sv}", "0", "1", "15", "", "0")
    for name, uid in USERS.items():
        done = m.busctl("call", "org.memunplug1", path, "org.memunplug1.Job", "Describe", uid=uid)
        assert done.returncode == 0 and json.loads(json.loads(done.stdout)["data"][0])["id"] == number, (name, done)
        for member in ("Cancel", "Confirm") if name in ("nobody", "user") else ():
            done = m.busctl("call", "org.memunplug1", path, "org.memunplug1.Job", member, uid=uid)
            assert "nteractive auth" in done.stderr, (name, done)
    assert json.loads(m.manager("DescribeJob", "u", str(number))[0])["state"] == "planning"
    done = m.busctl("call", "org.memunplug1", path, "org.memunplug1.Job", "Cancel", uid=USERS["memory-admins"])
    assert done.returncode == 0, done


def ask_and_confirm(m):
    """What the hypervisor asks for on its port waits until root agrees, or refuses."""
    def ask():
        job = m.say("org.memunplug.Unplug", {"blocks": [15]})[0]["parameters"]["job"]
        assert job["unconfirmed"] and job["state"] == "queued" and job["totalBlocks"] == 1, job
        assert job["reason"] == f"waits for an operator: memunplugctl confirm {job['id']}", job
        return job["id"]
    number = ask()
    assert m.say("org.memunplug.Confirm", {"id": number})[0]["error"] == "org.varlink.service.PermissionDenied"
    job = m.varlink("Confirm", {"id": number})[0]["job"]
    assert "reason" not in job and "unconfirmed" not in job, job
    assert m.varlink("Confirm", {"id": number}) == "org.memunplug.Busy"
    while m.varlink("ListJobs", {"id": number})[0]["job"]["state"] != "planning":     # where a hook holds it
        pass
    assert m.varlink("Cancel", {"id": number})[0]["job"]["id"] == number
    while m.varlink("ListJobs", {"id": number})[0]["job"]["state"] != "cancelled":
        pass
    number = ask()
    assert m.varlink("Cancel", {"id": number})[0]["job"]["state"] == "cancelled"


def test_hypervisor(m):
    started = [WithPort("read"), WithPort("no"), WithPort("ask")]
    machines = {"unplug": m, "read": started[0], "no": started[1], "ask": started[2]}
    try:
        assert [policy for policy, one in machines.items() if one.has_port_open()] == ["unplug", "read", "ask"]
        assert "hypervisorChannel" not in machines.pop("no").varlink("GetStatus")[0]
        for policy, one in machines.items():
            for method in CALLS:
                reply = one.ask(method)
                may = policy != "read" and method != "Confirm"    # to which only those in the machine can agree
                assert verdict(reply, method) == (method not in CHANGING or may), (policy, reply)
        ask_and_confirm(machines["ask"])
    finally:
        codes = [others.end() for others in started]
    assert codes == [0, 0, 0]


def test_nothing_was_done(m):
    jobs = [reply["job"] for reply in m.varlink("ListJobs", more=True) if reply]
    assert [job["id"] for job in jobs] == [1] and jobs[0]["state"] == "cancelled", jobs
    for block in range(BLOCKS):
        assert (m.root / f"sys/devices/system/memory/memory{block}/state").read_text() == "online\n"


def main():
    with authority.surroundings(user=USERS["user"], **{"memory-admins": USERS["memory-admins"]}) as rules:
        (rules / "50-test.rules").write_text(
            "polkit.addRule(function(action, subject) {"
            "  if (action.id.indexOf('org.memunplug1.') == 0 && subject.isInGroup('memory-admins'))"
            "    return polkit.Result.YES; });\n")
        machine = WithPort("unplug", bus_config=authority.BUS_CONFIG)
        authority.start(machine)
        run_tests(machine, [value for name, value in list(globals().items()) if name.startswith("test_")])


needs("dbus-daemon", "busctl", "setpriv", "unshare", authority.POLKITD)
authority.go_inside()
main()
