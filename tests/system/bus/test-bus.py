#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-bus.py MEMUNPLUGD TOP: operations by busctl. What it is told must be what Varlink clients are told."""
import json
import os

from machine import BLOCKS, SIZE, TOP, Machine, needs, run_tests


def test_the_same_is_told(m):
    status = json.loads(m.manager("Describe")[0])
    assert status == m.varlink("GetStatus")[0]
    assert status["engine"] == "sysfs" and status["onlineBytes"] == BLOCKS * SIZE
    blocks = json.loads(m.manager("ListBlocks")[0])
    assert len(blocks) == BLOCKS and blocks == [r["block"] for r in m.varlink("ListBlocks", more=True)]
    devices = json.loads(m.manager("ListDevices")[0])
    assert devices == [r["device"] for r in m.varlink("ListDevices", more=True)]
    plan = json.loads(m.manager("Plan", "tatsa{sv}", str(2 * SIZE), "0", "", "0")[0])
    assert plan == m.varlink("Plan", {"sizeBytes": 2 * SIZE})[0] and plan["feasible"]
    assert m.manager("ListJobs")[0] == []
    get = m.busctl("get-property", "org.memunplug1", "/org/memunplug1", "org.memunplug1.Manager", "Engine",
                   "BlockSizeBytes", "OnlineBytes", "RemovableBytes")
    assert [json.loads(line)["data"] for line in get.stdout.splitlines()] == \
        ["sysfs", SIZE, status["onlineBytes"], status["removableBytes"]], get


def test_errors_are_the_same(m):
    cases = [("Unplug", {}, ("0", "0", "", "0")),
             ("Unplug", {"sizeBytes": SIZE, "device": "X"}, (str(SIZE), "0", "X", "0")),
             ("Unplug", {"blocks": [4000000]}, ("0", "1", "4000000", "", "0")),
             ("Unplug", {"blocks": [1]}, ("0", "1", "1", "", "0")),
             ("Unplug", {"device": "PNP0C80:77"}, ("0", "0", "PNP0C80:77", "0")),
             ("Unplug", {"device": "../../etc"}, ("0", "0", "../../etc", "0")),
             ("Plan", {"node": 5}, ("0", "0", "", "1", "node", "u", "5")),
             ("Unplug", {"device": "boot", "node": 5}, ("0", "0", "boot", "1", "node", "u", "5")),
             ("Replug", {"blocks": [12]}, ("0", "1", "12", "", "0")),
             ("Plan", {"blocks": [4000000]}, ("0", "1", "4000000", "", "0"))]
    names = {"InvalidParameter": "missing, not valid", "NoSuchBlock": "No memory block",
             "NoSuchDevice": "No memory device", "NoSuchNode": "no memory on a node 5"}
    for method, parameters, arguments in cases:
        varlink, bus = m.varlink(method, parameters), m.manager(method, "tatsa{sv}", *arguments)
        assert isinstance(varlink, str) == isinstance(bus, str), (varlink, bus)
        if isinstance(varlink, str):
            assert "Access denied" not in bus and names.get(varlink.split(".")[-1], "") in bus, (varlink, bus)


def test_removal_and_return(m):
    monitor = m.monitor()
    number, path = m.manager("Unplug", "tatsa{sv}", "0", "2", "14", "15", "", "1", "deadline_usec", "t", "20000000")
    assert path == f"/org/memunplug1/job/_{number}"
    signals = monitor.until("InterfacesRemoved")
    members = [s[0] for s in signals if s[0] != "NameAcquired"]
    assert members[:2] == ["InterfacesAdded", "JobNew"], members
    assert members[-2:] == ["JobRemoved", "InterfacesRemoved"], members
    removed = signals[-2]
    assert removed[2] == [number, path, "done"], removed
    states = [s[2][1]["State"]["data"] for s in signals if s[0] == "PropertiesChanged" and s[1] == path
              and "State" in s[2][1]]
    assert states[-1] == "done" and "offlining" in states, states
    assert m.manager("ListJobs")[0] == [[number, "operator", "done", "/"]]
    job = json.loads(m.manager("DescribeJob", "u", str(number))[0])
    assert job == m.varlink("ListJobs", {"id": number})[0]["job"]
    assert job["removedBytes"] == 2 * SIZE and job["caller"] == f"uid {os.geteuid()}"
    for block in (14, 15):
        assert (m.root / f"sys/devices/system/memory/memory{block}/state").read_text().strip() == "offline"
    assert "has ended" in m.manager("Cancel", "u", str(number))
    gone = m.busctl("get-property", "org.memunplug1", path, "org.memunplug1.Job", "State")
    assert gone.returncode != 0

    number = m.manager("Replug", "tatsa{sv}", "0", "2", "14", "15", "", "0")[0]
    assert [s[2] for s in monitor.until("JobRemoved")][-1][0::2] == [number, "done"]
    monitor.end()
    for block in (14, 15):
        state = m.root / f"sys/devices/system/memory/memory{block}/state"
        assert state.read_text().strip() == "online_movable"
        state.write_text("online\n")  # as the kernel would show it


def test_everybody_may_look_only(m):
    if os.geteuid() != 0:
        return
    assert json.loads(m.manager("Describe", uid=65534)[0])["engine"] == "sysfs"
    assert json.loads(m.manager("Plan", "tatsa{sv}", str(SIZE), "0", "", "0", uid=65534)[0])["feasible"]
    jobs = m.manager("ListJobs")
    for member, arguments in (("Unplug", ("tatsa{sv}", str(SIZE), "0", "", "0")), ("Cancel", ("u", "1")),
                              ("Replug", ("tatsa{sv}", str(SIZE), "0", "", "0"))):
        assert "ccess" in m.manager(member, *arguments, uid=65534), member
    assert m.manager("ListJobs") == jobs


def test_introspection(m):
    done = m.busctl("introspect", "--xml-interface", "org.memunplug1", "/org/memunplug1")
    file = (TOP / "units/org.memunplug1.Manager.xml").read_text()
    assert file[file.index("<interface"):file.index("</interface>")] in done.stdout


needs("dbus-daemon", "busctl", "setpriv")
run_tests(Machine(), [value for name, value in list(globals().items()) if name.startswith("test_")])
