#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-fronts.py MEMUNPLUGD TOP MEMUNPLUGCTL: the same requests, right and wrong, by each front to a machine of its own:
the Varlink socket, the hypervisor's port, D-Bus and memunplugctl. Their whole answers are the same, field by field, but
for times and the caller's name."""
import re
import sys

from fronts import INVALID, Bus, Ctl, Part, Port, Varlink
from machine import BLOCKS, SIZE, needs, run_tests
from port import PortMachine

TIMES = {"createdAt", "startedAt", "finishedAt", "deadlineAt", "etaUsec"}
MANY = list(range(4097))
LONG = "x" * 64
DEMANDS = [
    {"sizeBytes": 1}, {"sizeBytes": SIZE}, {"sizeBytes": 2 * SIZE + 1}, {"sizeBytes": 100 * SIZE},
    {"sizeBytes": 2**53 - 1}, {"blocks": [14, 15]}, {"blocks": [15, 14]}, {"blocks": [14, 14]}, {"blocks": [1]},
    {"blocks": [1, 14]}, {"device": "boot"}, {"node": 0}, {"sizeBytes": SIZE, "node": 0}, {"node": 7},
    {"sizeBytes": SIZE, "blocks": None, "device": None},
    # what is not there
    {"blocks": [4000000]}, {"blocks": [14, 4000000]}, {"blocks": [2**32 - 1]}, {"device": "PNP0C80:77"},
    {"sizeBytes": SIZE, "node": 2**31 - 1},
    # nothing, or too much
    {}, {"sizeBytes": None}, {"sizeBytes": SIZE, "device": "boot"}, {"sizeBytes": SIZE, "blocks": [14]},
    {"blocks": [14], "device": "boot"}, {"node": 0, "blocks": [14]}, {"node": 0, "device": "boot"},
    # out of range
    {"sizeBytes": 0}, {"sizeBytes": -1}, {"sizeBytes": 2**53}, {"sizeBytes": 2**63 - 1}, {"sizeBytes": -2**63},
    {"blocks": []}, {"blocks": MANY}, {"blocks": [2**32]}, {"blocks": [-1]}, {"blocks": [14, -1]}, {"device": ""},
    {"device": LONG}, {"device": "../../etc"}, {"device": "a b"}, {"device": "\u00e9"}, {"node": -1}, {"node": 2**31},
    # of another type
    {"sizeBytes": "1"}, {"sizeBytes": 1.5}, {"sizeBytes": True}, {"sizeBytes": [1]}, {"blocks": 14},
    {"blocks": ["14"]}, {"blocks": "14"}, {"device": 5}, {"device": ["boot"]}, {"node": "0"}, {"node": True},
    # unknown
    {"sizeBytes": SIZE, "bogus": 1}, {"sizeBytes": SIZE, "SizeBytes": SIZE}, {"bogus": None},
]
OPTIONS = [{"deadlineUsec": 0}, {"deadlineUsec": -1}, {"deadlineUsec": 2**53}, {"deadlineUsec": "5"},
           {"deadlineUsec": True}, {"allowPartial": 1}, {"allowPartial": "yes"}]
NUMBERS = [0, 99, 2**32 - 1, 2**32, 2**63 - 1, -1, "1", 1.5, True, [1]]
PLAIN = ["GetStatus", "ListBlocks", "ListDevices", "ListJobs", "Diagnose"]
# The caller of a front that has no word for "more" asks for no list by it.
READS = [(method, {}) for method in PLAIN] + [(method, {"bogus": 1}) for method in ("GetStatus", "Diagnose")] + \
    [("Plan", demand) for demand in DEMANDS] + \
    [("Plan", {"blocks": [14]} | option) for option in OPTIONS] + \
    [("Explain", {"block": number}) for number in [7, BLOCKS - 1, BLOCKS, *NUMBERS]] + [("Explain", {})] + \
    [("ListJobs", {"id": number}) for number in NUMBERS] + \
    [("Cancel", {"id": number}) for number in NUMBERS] + [("Cancel", {})]
# Nothing comes of these: each is wrong, or asks for what is not there or not free.
NO_CHANGES = [demand for demand in DEMANDS[15:]] + [{"blocks": [1]}, {"sizeBytes": 100 * SIZE}, {"blocks": [1, 14]}]
REFUSED = [(method, demand) for method in ("Unplug", "Replug") for demand in NO_CHANGES] + \
    [("Unplug", {"blocks": [14]} | option) for option in OPTIONS] + \
    [("Replug", {"blocks": [14]} | option) for option in ({"deadlineUsec": 5}, {"allowPartial": True})] + \
    [("Replug", {"blocks": [14]})]
LOOKS = [(method, {}) for method in PLAIN] + [("ListJobs", {"id": 1}), ("Explain", {"block": 14}),
                                              ("Plan", {"blocks": [14]}), ("Plan", {"sizeBytes": 8 * SIZE})]


def plain(answer, caller):
    """Without what must differ: a time is only there or not, and a caller is oneself."""
    if isinstance(answer, list):
        return [plain(item, caller) for item in answer]
    if not isinstance(answer, dict):
        return answer
    assert answer.get("caller", caller) == caller, answer
    return type(answer)((key, "a time" if key in TIMES else "me" if key == "caller" else plain(value, caller))
                        for key, value in answer.items())


def told_in_text(error, text, parameters):
    """Whether a sentence on D-Bus says what the error on Varlink carries."""
    carried = error["parameters"]
    if error["error"] == INVALID:
        named = re.match("The argument '(.*)' is ", text)
        name = re.sub("[A-Z]", lambda m: "_" + m[0].lower(), carried["parameter"])
        # 0, "" and [] are how D-Bus says that something is not given.
        return not named or named[1] == name or parameters.get(carried["parameter"], 1) in (0, "", [], None)
    if "reason" in carried:
        return text == carried["reason"]
    return all(str(value) in text for value in carried.values())


def same(wanted, found, parameters):
    """Whether another front's answer is the Varlink socket's."""
    if isinstance(found, dict) and "error" in found and isinstance(wanted, dict) and "error" in wanted:
        return found["error"] == wanted["error"] and found.get("parameters", wanted["parameters"]) == \
            wanted["parameters"] and ("text" not in found or told_in_text(wanted, found["text"], parameters))
    if isinstance(found, Part):
        return isinstance(wanted, dict) and "error" not in wanted and found.items() <= wanted.items()
    return found == wanted


class Four:
    """A machine for each front."""

    def __init__(self):
        self.machines = [PortMachine("unplug") for _ in range(4)]
        makers = [Varlink, Port, Bus, lambda machine: Ctl(machine, sys.argv[3])]
        self.fronts = [make(machine) for make, machine in zip(makers, self.machines)]
        self.counts = [0] * 4

    def ask(self, method, parameters):
        """The Varlink socket's answer, which is everybody's."""
        wanted = None
        for i, front in enumerate(self.fronts):
            answer = front.ask(method, parameters)
            if answer is None:
                continue
            self.counts[i] += 1
            answer = plain(answer, front.caller)
            if wanted is None:
                wanted = answer
            assert same(wanted, answer, parameters), \
                f"{method} {str(parameters)[:200]}\n{type(front).__name__}: {answer}\nVarlink: {wanted}"
        return wanted

    def wait_for(self, number, *states):
        """By the socket of each machine."""
        for machine in self.machines:
            machine.wait_for_state(number, *states)

    def end(self):
        for front in self.fronts:
            front.end()
        return max(machine.end() for machine in self.machines)


def test_looking(four):
    for method, parameters in READS:
        four.ask(method, parameters)


def test_refusals(four):
    for method, parameters in REFUSED:
        answer = four.ask(method, parameters)
        assert "error" in answer, (method, parameters, answer)
    assert four.ask("ListJobs", {}) == []


def typed(job):
    """The properties of a job's object, from its JSON."""
    nothing = {"Caller": "", "Device": "", "Cause": "", "Reason": "", "CurrentBlock": -1, "EtaUsec": 2**64 - 1,
               "StartedAt": 0, "FinishedAt": 0, "DeadlineAt": 0}
    return nothing | {key[0].upper() + key[1:]: value for key, value in job.items() if key != "blockers"}


def test_a_job_under_way(four):
    for machine in four.machines:
        machine.hold_jobs()
    accepted = four.ask("Unplug", {"blocks": [14, 15], "deadlineUsec": 600000000, "allowPartial": True})
    assert (accepted["id"], accepted["state"], accepted["requestedBytes"]) == (1, "queued", 2 * SIZE), accepted
    four.wait_for(1, "planning")
    for method, parameters in LOOKS:
        four.ask(method, parameters)
    for blocks in ([14], [13, 14]):
        assert "error" in four.ask("Unplug", {"blocks": blocks})

    bus, machine = four.fronts[2], four.machines[2]
    job = machine.varlink("ListJobs", {"id": 1})[0]["job"]
    assert bus.properties("/org/memunplug1/job/_1", "org.memunplug1.Job") == typed(job)
    status = machine.varlink("GetStatus")[0]
    for name, value in bus.properties("/org/memunplug1", "org.memunplug1.Manager").items():
        assert value == status.get(name[0].lower() + name[1:], ""), name

    four.ask("Cancel", {"id": 1})
    four.wait_for(1, "cancelled")
    for method, parameters in [*LOOKS, ("Cancel", {"id": 1})]:
        four.ask(method, parameters)


def test_a_job_to_its_end_and_back(four):
    assert four.ask("Unplug", {"sizeBytes": 2 * SIZE})["id"] == 2
    for machine in four.machines:
        machine.release_job()
    four.wait_for(2, "done")
    for method, parameters in [*LOOKS, ("ListJobs", {"id": 2}), ("Unplug", {"blocks": [14]})]:
        four.ask(method, parameters)
    assert four.ask("Replug", {"blocks": [14, 15]})["id"] == 3
    four.wait_for(3, "done")
    for method, parameters in [*LOOKS, ("ListJobs", {"id": 3}), ("Replug", {"blocks": [15]})]:
        four.ask(method, parameters)


def test_all_had_their_say(four):
    print("# requests: " + ", ".join(f"{type(front).__name__} {count}" for front, count in
                                     zip(four.fronts, four.counts)))
    socket, port, bus, ctl = four.counts
    assert socket == port == bus > 200 and ctl > 100, four.counts


needs("dbus-daemon")
run_tests(Four(), [value for name, value in list(globals().items()) if name.startswith("test_")])
