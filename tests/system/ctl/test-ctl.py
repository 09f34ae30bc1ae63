#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""memunplugctl against a made-up service: for every verb and every error, what it prints, where, and the exit
code."""
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake import Close, Service  # noqa: E402
from program import ENVIRONMENT, PROGRAM, Terminal, contains, equal, main, run  # noqa: E402

M, G = 1 << 20, 1 << 30
EVIL = "evil \x1b[31m\u009b2J\u202e\x07 end"    # what must not reach a terminal
SAFE = r"evil \x1b[31m\xc2\x9b2J\xe2\x80\xae\x07 end"

BLOCKER = {"physicalAddress": 0x148000000, "class": "pinned", "refCount": 3, "mapCount": 1, "owner": "vmsplice",
           "pids": [12, 34]}
BLOCKS = [{"index": 40, "physicalAddress": 0x140000000, "sizeBytes": 128 * M, "state": "online", "zone": "Movable",
           "node": 0, "device": "PNP0C80:00", "usedBytes": 32 * M, "unmovableBytes": 0, "verdict": "movable"},
          {"index": 41, "physicalAddress": 0x148000000, "sizeBytes": 128 * M, "state": "offline",
           "verdict": "offline", "reason": EVIL}]
DEVICE = {"name": "PNP0C80:00", "kind": "acpi_dimm", "firstBlock": 40, "blocks": 8, "sizeBytes": G,
          "onlineBytes": G // 2, "node": 0, "moveBytes": 300 * M, "verdict": "movable"}
STATUS = {"version": "0.1.0", "engine": "sysfs", "engineReason": "no module", "hypervisor": "kvm",
          "blockSizeBytes": 128 * M, "onlineBytes": 5 * G, "removableBytes": 3 * G // 2,
          "sources": [{"source": "acpi", "active": True}, {"source": "balloon", "active": False, "reason": "none"}],
          "health": ["first", "second"]}
PLAN = {"feasible": True, "removableBytes": G, "moveBytes": 300 * M, "freeBytes": 2 * G, "reserveBytes": 100 * M,
        "steps": [{"block": 47, "sizeBytes": 128 * M, "moveBytes": 0, "zone": "Movable", "node": 0}],
        "refused": [{"block": 3, "verdict": "guarded", "reason": "policy keeps it"}]}


def job(state, **fields):
    """A job as the service shows it."""
    return {"id": 7, "source": "operator", "caller": "uid 0", "operation": "unplug", "state": state,
            "requestedBytes": G, "removedBytes": 0, "evacuatedBytes": 0, "moveBytes": 400 * M, "totalBlocks": 8,
            "removedBlocks": 0, "attempts": 1, "createdAt": 1760000000000000,
            "startedAt": 1760000001000000} | fields


DONE = job("done", removedBytes=G, evacuatedBytes=400 * M, removedBlocks=8, finishedAt=1760000003500000)
FAILED = job("failed", cause="in_use", reason="1 page is pinned", blockers=[BLOCKER], finishedAt=1760000003500000)


def says(*replies):
    """A script: these replies, the last one final."""
    return lambda call: call.stream(*replies)


def fails(name, **parameters):
    return lambda call: call.error(name, **parameters)


def one(method, script, *arguments, **options):
    with Service({method: script}) as service:
        result = run(service, *arguments, **options)
        result.calls = service.messages()
        return result


def check(result, code, out, err=""):
    equal(result.out, out)
    equal(result.err, err)
    equal(result.code, code)


# Reading

def test_status():
    text = ("    Service: memunplugd 0.1.0\n     Engine: sysfs (no module)\n Hypervisor: kvm\n"
            "     Memory: 5G online, 1.5G removable, in blocks of 128M\n    Sources: acpi active\n"
            "             balloon not active (none)\n        Job: none under way\n     Health: first\n"
            "             second\n")
    check(one("GetStatus", says(STATUS)), 0, text)
    check(one("GetStatus", says(STATUS), "status"), 0, text)
    busy = STATUS | {"job": job("evacuating", evacuatedBytes=100 * M), "health": [], "hypervisorChannel": "org.x.0"}
    result = one("GetStatus", says(busy), "status")
    contains(result.out, "    Channel: org.x.0\n", "        Job: 7 evacuating, 23%\n     Health: good\n")


def test_status_of_little():
    check(one("GetStatus", says({})), 0, "    Service: memunplugd -\n     Engine: -\n     Memory: - online, - "
          "removable, in blocks of -\n        Job: none under way\n     Health: good\n")
    contains(one("GetStatus", says({"version": 5, "sources": [1, {}], "health": [[], "x"], "onlineBytes": -1,
                                    "job": "no"})).out, "- online", ": x\n")


def test_blocks():
    heading = ("BLOCK                   RANGE SIZE STATE   ZONE    NODE DEVICE     USED UNMOVABLE VERDICT REASON\n")
    rows = ("   40 0x140000000-0x147ffffff 128M online  Movable    0 PNP0C80:00  32M        0B movable -\n"
            "   41 0x148000000-0x14fffffff 128M offline -          - -             -         - offline " + SAFE + "\n")
    script = says(*[{"block": block} for block in BLOCKS])
    result = one("ListBlocks", script, "blocks")
    check(result, 0, heading + rows + "\n2 blocks listed.\n")
    equal(result.calls, [{"method": "org.memunplug.ListBlocks", "more": True}])
    check(one("ListBlocks", script, "blocks", "--no-legend"), 0, rows)
    contains(one("ListBlocks", script, "--bytes", "blocks").out, " 134217728 ", " 33554432 ")
    check(one("ListBlocks", says({}), "blocks"), 0, "0 blocks listed.\n")
    check(one("ListBlocks", says({"block": BLOCKS[0]}, {}), "blocks", "--no-legend"), 0, "   40 0x140000000-"
          "0x147ffffff 128M online Movable    0 PNP0C80:00  32M        0B movable -\n")


def test_blocks_json():
    script = says(*[{"block": block} for block in BLOCKS])
    result = one("ListBlocks", script, "blocks", "--json=short")
    equal(json.loads(result.out), BLOCKS)
    equal(result.out.count("\n"), 1)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", result.out), result.out
    result = one("ListBlocks", script, "blocks", "--json=pretty")
    equal(json.loads(result.out), BLOCKS)
    assert result.out.count("\n") > 20
    equal(json.loads(one("ListBlocks", script, "-j", "blocks").out), BLOCKS)
    equal(json.loads(one("ListBlocks", says({}), "-j", "blocks").out), [])


def test_devices():
    check(one("ListDevices", says({"device": DEVICE}), "devices"), 0,
          "NAME       KIND      FIRST BLOCKS SIZE ONLINE MOVE NODE VERDICT REASON\n"
          "PNP0C80:00 acpi_dimm    40      8   1G   512M 300M    0 movable -\n\n1 device listed.\n")
    virtio_mem = DEVICE | {"name": "virtio3", "kind": "virtio_mem", "requestedBytes": 0, "pluggedBytes": 300 * M}
    check(one("ListDevices", says({"device": virtio_mem}), "devices"), 0,
          "REQUESTED PLUGGED NAME    KIND       FIRST BLOCKS SIZE ONLINE MOVE NODE VERDICT REASON\n"
          "       0B    300M virtio3 virtio_mem    40      8   1G   512M 300M    0 movable -\n\n1 device listed.\n")


def test_jobs():
    check(one("ListJobs", says({"job": DONE}, {"job": FAILED | {"id": 8, "device": "PNP0C80:00"}}), "jobs"), 0,
          "JOB OPERATION SOURCE   DEVICE     STATE  DONE SIZE REMOVED CREATED             REASON\n"
          "  7 unplug    operator -          done   100%   1G      1G 2025-10-09 08:53:20 -\n"
          "  8 unplug    operator PNP0C80:00 failed    -   1G      0B 2025-10-09 08:53:20 1 page is pinned\n\n"
          "2 jobs listed.\n")


def test_show():
    result = one("ListJobs", says({"job": FAILED | {"deadlineAt": 1760000060000000, "currentBlock": 45}}), "show", "7")
    check(result, 0, "        Job: 7\n  Operation: unplug\n   Asked by: operator (uid 0)\n"
          "      State: failed (in_use)\n     Reason: 1 page is pinned\n    Removed: 0B of 1G\n     Blocks: 0 of 8\n"
          "      Moved: 0B of 400M\n   At block: 45\n   Attempts: 1\n    Created: 2025-10-09 08:53:20\n"
          "    Started: 2025-10-09 08:53:21\n      Ended: 2025-10-09 08:53:23\n   Deadline: 2025-10-09 08:54:20\n\n"
          "Pages in the way:\n    ADDRESS CLASS  REFS MAPS OWNER    PIDS\n"
          "0x148000000 pinned    3    1 vmsplice 12,34\n")
    equal(result.calls, [{"method": "org.memunplug.ListJobs", "parameters": {"id": 7}}])
    equal(json.loads(one("ListJobs", says({"job": FAILED}), "show", "7", "-j").out), FAILED)
    contains(one("ListJobs", says({"job": {}}), "show", "7").out, "Job: -1\n", "State: -\n")


def test_explain():
    answer = {"verdict": "unmovable", "reason": "holds pinned pages.", "blockers": [BLOCKER],
              "classes": [{"class": "free", "bytes": 64 * M}, {"class": "pinned", "bytes": 4096}, 3]}
    result = one("Explain", says(answer), "explain", "41")
    check(result, 0, "Block 41 is unmovable: holds pinned pages.\n"
          "CLASS  SIZE\nfree    64M\npinned   4K\n-         -\n\n"
          "Pages in the way:\n    ADDRESS CLASS  REFS MAPS OWNER    PIDS\n"
          "0x148000000 pinned    3    1 vmsplice 12,34\n")
    equal(result.calls[0]["parameters"], {"block": 41})
    equal(json.loads(one("Explain", says(answer), "explain", "41", "-j").out), answer)
    failed = answer | {"failure": {"cause": "in_use", "agoUsec": 185_600_000, "forgottenInUsec": 2_214_400_000}}
    contains(one("Explain", says(failed), "explain", "41").out, "Block 41 is unmovable: holds pinned pages.\n"
             "It was in the way of a job 3min 5s ago (in_use); others are taken before it for another 36min 55s.\n")


def test_doctor():
    finding = {"severity": "warning", "check": "pins", "message": "RDMA is in use", "file": "/sys/x", "value": "3",
               "advice": "Stop it."}
    answer = {"findings": [finding, {"severity": "note", "check": "acpi", "message": "quiet", "value": "no\x1b[2Jgate"}]}
    check(one("Diagnose", says(answer), "doctor"), 0,
          "warning  RDMA is in use.\n         Seen: /sys/x: 3\n         Do:   Stop it.\n"
          "note     quiet.\n         Seen: no\\x1b[2Jgate\n\n2 findings, 0 of them prevent removal.\n")
    equal(json.loads(one("Diagnose", says(answer), "doctor", "-j").out), answer)
    check(one("Diagnose", says({"findings": []}), "doctor"), 0, "0 findings, 0 of them prevent removal.\n")
    finding["severity"] = "problem"
    contains(one("Diagnose", says(answer), "doctor").out, "2 findings, 1 of them prevents removal.\n")
    check(one("Diagnose", says(answer), "doctor", "-q"), 1, "")
    broken = one("Diagnose", says({}), "doctor")
    equal((broken.code, broken.out), (1, ""))
    contains(broken.err, "does not speak as memunplugd does")


def test_plan():
    result = one("Plan", says(PLAN), "plan", "1G")
    check(result, 0, "Can be done.\n"
          "1G would go, 300M of it in use and to be moved; 2G are free elsewhere, 100M of that in reserve.\n\n"
          "Would go, in this order:\nBLOCK SIZE MOVE ZONE    NODE DEVICE\n"
          "   47 128M   0B Movable    0 -\n\nCannot go:\nBLOCK DEVICE VERDICT REASON\n"
          "    3 -      guarded policy keeps it\n")
    equal(result.calls, [{"method": "org.memunplug.Plan", "parameters": {"sizeBytes": G}}])
    unknown = PLAN | {"steps": [{"block": 47, "sizeBytes": 128 * M}], "moveBytes": 0}
    contains(one("Plan", says(unknown), "plan", "1G").out, "1G would go, an unknown part of it in use and to be ")
    contains(one("Plan", says(PLAN | {"cheapestDevice": "PNP0C80:01"}), "plan", "1G").out,
             "The device that is cheapest to give back is PNP0C80:01.\n")
    refused = PLAN | {"feasible": False, "reason": "needs 2.1G free on node 0, has 1.4G"}
    result = one("Plan", says(refused), "plan", "1G")
    equal(result.code, 1)
    contains(result.out, "Cannot be done: needs 2.1G free on node 0, has 1.4G.\n")
    result = one("Plan", says(refused), "plan", "1G", "--json=short")
    equal((result.code, json.loads(result.out)), (1, refused))
    check(one("Plan", says(PLAN), "plan", "-q", "1G"), 0, "")
    equal(one("Plan", says({}), "plan", "1G").code, 1)


def test_metrics():
    with Service({"GetStatus": says(STATUS), "ListBlocks": says(*[{"block": block} for block in BLOCKS]),
                  "ListJobs": says({"job": DONE}, {"job": DONE | {"id": 8}}, {"job": FAILED})}) as service:
        result = run(service, "metrics")
    equal(result.code, 0)
    lines = result.out.splitlines()
    equal(lines[-1], "# EOF")
    contains(result.out, 'memunplug_service_info{version="0.1.0",engine="sysfs",hypervisor="kvm"} 1\n',
             "memunplug_online_bytes 5368709120\n", 'memunplug_source_active{source="balloon"} 0\n',
             'memunplug_blocks{state="online",verdict="movable",zone="Movable",node="0"} 1\n',
             'memunplug_jobs{operation="unplug",source="operator",state="done"} 2\n',
             'memunplug_jobs_removed_bytes{operation="unplug",source="operator",state="done"} 2147483648\n')
    form = re.compile(r'# (TYPE|UNIT|HELP) memunplug_\w+ .+|memunplug_\w+(\{(\w+="[^"\\]*",?)*\})? \d+|# EOF')
    for line in lines:
        assert form.fullmatch(line), line
    families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    equal(len(families), len(set(families)))


# Changing

def test_unplug():
    script = says({"job": job("queued")}, {"job": job("evacuating")}, {"job": job("evacuating", evacuatedBytes=M)},
                  {"job": job("offlining")}, {"job": DONE})
    result = one("Unplug", script, "unplug", "1G")
    check(result, 0, "Removed 1G in 2s 500ms.\n", "Job 7: queued\nJob 7: evacuating\nJob 7: offlining\n")
    equal(result.calls, [{"method": "org.memunplug.Unplug", "parameters": {"sizeBytes": G}, "more": True}])
    check(one("Unplug", script, "unplug", "-q", "1G"), 0, "")
    result = one("Unplug", script, "unplug", "1G", "--json=short")
    equal((result.code, json.loads(result.out), result.err), (0, DONE, ""))


def test_unplug_parameters():
    for arguments, parameters in (
            (["40-42,50"], {"blocks": [40, 41, 42, 50]}),
            (["PNP0C80:00"], {"device": "PNP0C80:00"}),
            (["1.5G", "--deadline=1min 30s", "--partial"], {"sizeBytes": 3 * G // 2, "deadlineUsec": 90000000,
                                                            "allowPartial": True})):
        equal(one("Unplug", says({"job": DONE}), "unplug", *arguments).calls[0]["parameters"], parameters)


def test_unplug_ends():
    reason = "1 page is pinned"
    table = ("Pages in the way:\n    ADDRESS CLASS  REFS MAPS OWNER    PIDS\n"
             "0x148000000 pinned    3    1 vmsplice 12,34\n")
    check(one("Unplug", says({"job": FAILED}), "unplug", "1G"), 1, "", f"Job 7 failed: {reason}.\n{table}")
    partial = job("partial", removedBytes=G // 2, reason=reason, finishedAt=1760000003500000)
    check(one("Unplug", says({"job": partial}), "unplug", "1G"), 64, "Removed 512M of 1G in 2s 500ms.\n",
          f"Job 7 was done in part: {reason}.\n")
    check(one("Unplug", says({"job": job("cancelled")}), "unplug", "1G"), 1, "", "Job 7 was cancelled.\n")
    check(one("Unplug", says({"job": job("failed", cause="refused", reason="no.")}), "unplug", "1G"), 77, "",
          "Job 7 failed: no.\n")
    check(one("Unplug", says({"job": job("melted")}), "unplug", "1G"), 1, "",
          "Job 7 ended in a state that is not known here.\n")
    result = one("Unplug", says({"job": FAILED}), "unplug", "1G", "-j")
    equal((result.code, json.loads(result.out), result.err), (1, FAILED, f"Job 7 failed: {reason}.\n"))


def test_no_wait():
    result = one("Unplug", says({"job": job("queued")}), "unplug", "1G", "--no-wait")
    check(result, 0, "Job 7 is under way; 'memunplugctl show 7' shows it.\n")
    equal(result.calls, [{"method": "org.memunplug.Unplug", "parameters": {"sizeBytes": G}}])
    check(one("Unplug", says({"job": job("failed")}), "unplug", "1G", "--no-wait"), 1, "", "Job 7 failed.\n")
    result = one("Unplug", says({"job": job("queued")}), "unplug", "1G", "--no-wait", "-j")
    equal(json.loads(result.out), job("queued"))


def test_replug():
    back = DONE | {"operation": "replug"}
    result = one("Replug", says({"job": back}), "replug", "40-47")
    check(result, 0, "Brought back 1G in 2s 500ms.\n")
    equal(result.calls[0]["method"], "org.memunplug.Replug")


def test_cancel():
    result = one("Cancel", says({"job": job("restoring")}), "cancel", "7")
    check(result, 0, "Job 7 is being cancelled: restoring.\n")
    equal(result.calls, [{"method": "org.memunplug.Cancel", "parameters": {"id": 7}}])
    check(one("Cancel", says({"job": job("cancelled")}), "cancel", "7"), 0, "Job 7: cancelled.\n")


def test_confirm():
    result = one("Confirm", says({"job": job("queued")}), "confirm", "7")
    check(result, 0, "Job 7 is confirmed: queued.\n")
    equal(result.calls, [{"method": "org.memunplug.Confirm", "parameters": {"id": 7}}])
    check(one("Confirm", says({"job": job("queued")}), "confirm", "7", "-q"), 0, "")


# Errors

def test_errors():
    def error(name, code, text, **parameters):
        script = fails(name, **parameters)
        result = one("Unplug", script, "unplug", "1G")
        check(result, code, "", text + "\n")
        result = one("Unplug", script, "unplug", "1G", "--json=short")
        equal((result.code, result.err), (code, text + "\n"))
        equal(json.loads(result.out), {"error": name, "parameters": parameters})

    own = "org.memunplug."
    service = "org.varlink.service."
    error(own + "NoSuchBlock", 1, "There is no memory block 99; see 'memunplugctl blocks'.", block=99)
    error(own + "NoSuchBlock", 1, "There is no such memory block; see 'memunplugctl blocks'.")
    error(own + "NoSuchDevice", 1, f"There is no memory device '{SAFE}'; see 'memunplugctl devices'.", device=EVIL)
    error(own + "NoSuchNode", 1, "There is no memory on a node 3; see 'memunplugctl blocks'.", node=3)
    error(own + "NoSuchNode", 1, "There is no memory on such a node; see 'memunplugctl blocks'.")
    error(own + "NoSuchJob", 1, "There is no job 7, or it has ended; see 'memunplugctl jobs'.", id=7)
    error(own + "NoSuchJob", 1, "There is no such job, or it has ended; see 'memunplugctl jobs'.")
    error(own + "NothingRemovable", 1, "Not possible now: all is guarded. 'memunplugctl blocks' shows what is.",
          reason="all is guarded")
    error(own + "Refused", 77, "Refused: needs 2.1G, has 1.4G. 'memunplugctl plan' and memunplugd.conf(5) tell more.",
          reason="needs 2.1G, has 1.4G.")
    error(own + "Busy", 1, "Busy. Try again when the jobs under way have ended; see 'memunplugctl jobs'.")
    error(own + "Cancelled", 1, "The job was cancelled. 'memunplugctl jobs' shows what became of it.", id=7)
    error(own + "Failed", 1, "It failed: no journal. 'journalctl -u memunplugd' may tell more.", reason="no journal")
    error(own + "Unheard", 1, "The service answered with the error 'org.memunplug.Unheard'.")
    error(service + "PermissionDenied", 77, "Permission denied: only root may do this. Try again as root, for example "
          "with sudo.")
    error(service + "InvalidParameter", 1, "The service does not accept the value of 'sizeBytes'; see "
          "memunplugctl(1).", parameter="sizeBytes")
    error(service + "MethodNotFound", 1, "The service does not know this request (MethodNotFound). Are memunplugctl "
          "and memunplugd of the same version? 'memunplugctl --version' and 'memunplugctl status' tell.", method="x")
    error("org.example." + EVIL, 1, f"The service answered with the error 'org.example.{SAFE}'.")


def test_errors_in_lists():
    script = fails("org.varlink.service.PermissionDenied")
    for verb in ("blocks", "devices", "jobs", "monitor"):
        method = {"blocks": "ListBlocks", "devices": "ListDevices", "jobs": "ListJobs", "monitor": "Monitor"}[verb]
        equal(one(method, script, verb).code, 77)


def test_nobody_there():
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "socket")
        for verb in (["status"], ["unplug", "1G"], ["monitor"], ["metrics"], ["-j", "jobs"]):
            check(run(None, *verb, address=path), 69, "", f"memunplugd is not there: cannot connect to '{path}': No "
                  "such file or directory. Start it with 'systemctl start memunplugd'.\n")
        with socket.socket(socket.AF_UNIX) as unused:
            unused.bind(path)
            result = run(None, "status", address="unix:" + path)
            equal(result.code, 69)
            contains(result.err, "Connection refused")
    for address in ("tcp:localhost", "", "/" + "x" * 200, "unix:@"):
        result = run(None, "status", address=address)
        equal((result.code, result.out), (1, ""))
        contains(result.err, "is not an address")


def test_not_a_service():
    def raw(data):
        def script(call):
            call.raw(data)
            call.wait_gone()
        return script

    alien = "does not speak as memunplugd does"
    for data in (b"HTTP/1.0 400 Bad Request\r\n\r\n\0", b"\0", b"[]\0", b"{\0", b'{"parameters":[]}\0',
                 b'{"error":5}\0', b'{"error":"a.B","continues":true}\0', b'{"continues":true}\0',
                 b'{"parameters":{"x":1,"x":2}}\0', b'{"parameters":{}}x\0', b'{"parameters":{"x":"\xff"}}\0',
                 b'{"parameters":' + b"[" * 200 + b"]" * 200 + b"}\0", b'{"parameters":{"x":NaN}}\0'):
        result = one("GetStatus", raw(data), "status")
        equal((result.code, result.out), (1, ""))
        contains(result.err, alien)

    def endless(call):
        while True:
            call.raw(b" " * (1 << 20))

    result = one("GetStatus", endless, "status")
    equal(result.code, 1)
    contains(result.err, alien)


def test_hang_up():
    def hang_up(call):
        raise Close

    def in_the_middle(call):
        call.reply({"job": job("evacuating")}, continues=True)
        raise Close

    check(one("GetStatus", hang_up, "status"), 69, "",
          "The service closed the connection. See 'systemctl status memunplugd'.\n")
    check(one("Unplug", in_the_middle, "unplug", "-q", "1G"), 69, "",
          "The service closed the connection. See 'systemctl status memunplugd'.\nWhat becomes of job 7 is not known "
          "here; 'memunplugctl show 7' will tell.\n")


def test_usage():
    def usage(arguments, text):
        result = run(None, *arguments, address="/nowhere")
        check(result, 1, "", text + "\n" if "Cannot" in text else text + "\nSee 'memunplugctl --help'.\n")

    usage(["fly"], "There is no command 'fly'.")
    usage(["unplug"], "'unplug' needs an argument: memunplugctl unplug WHAT")
    usage(["unplug", "1G", "2G"], "'unplug' takes one argument only.")
    usage(["status", "x"], "'status' takes no arguments.")
    usage(["--json=xml"], "--json=xml: it is one of pretty, short, off.")
    usage(["unplug", "--deadline=soon", "1G"], "--deadline=soon: it is a time like 30s or 5min.")
    usage(["unplug", "--deadline=infinity", "1G"], "--deadline=infinity: it is a time like 30s or 5min.")
    usage(["replug", "--partial", "1G"], "'replug' does not take --partial.")
    usage(["jobs", "--no-wait"], "'jobs' does not take --no-wait.")
    usage(["unplug", "\x1b[31m"], "Cannot use '\\x1b[31m': this is not a list of blocks (40-47,52), a size (2G), a "
          "device (PNP0C80:00) or a node (node:1, 2G@node:1).")
    usage(["unplug", "0G"], "Cannot use '0G': this is no memory at all.")
    usage(["plan", "9-1-"], "Cannot use '9-1-': this is not a list of blocks (40-47,52), and a size needs a unit "
          "(2G).")
    for verb in ("show", "cancel", "confirm", "explain"):
        for argument in ("x", "-1", "99999999999999999999", ""):
            equal(run(None, verb, "--", argument, address="/nowhere").code, 1)


def test_help_and_version():
    result = run(None, "--help", address="/nowhere")
    equal((result.code, result.err), (0, ""))
    assert result.out.startswith("memunplugctl [OPTIONS...] COMMAND ...\n")
    assert result.out.endswith("See the memunplugctl(1) man page for details.\n")
    assert max(len(line) for line in result.out.splitlines()) < 80
    result = run(None, "--version", address="/nowhere")
    assert re.fullmatch(r"memunplug [0-9.]+\n", result.out), result.out


def test_full_disk():
    with Service({"GetStatus": says(STATUS)}) as service, open("/dev/full", "wb") as full:
        done = subprocess.run([PROGRAM, "--address=" + service.address], stdout=full, stderr=subprocess.PIPE,
                              env=ENVIRONMENT, timeout=30)
    equal((done.returncode, done.stderr), (1, b"Cannot write the output: No space left on device.\n"))


# Watching

def test_monitor_lines():
    events = [{"event": "job", "job": job("evacuating", evacuatedBytes=100 * M)}, {"event": "ready"},
              {"event": "block", "block": BLOCKS[1]}, {"event": "device", "device": DEVICE},
              {"event": "job", "job": DONE}, {"event": "news", "x": 1}, {}]
    result = one("Monitor", says(*events), "monitor")
    equal(result.code, 0)
    lines = result.out.splitlines()
    for line in lines:
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0000 ", line), line
    equal([line.split(" ", 1)[1] for line in lines], [
        "job 7 evacuating 23% 100M/400M -", "ready", "block 41 offline offline 128M " + SAFE,
        "device PNP0C80:00 movable 512M/1G -", "job 7 done 100% 1G/1G -", "news", "-"])
    result = one("Monitor", says(*events), "monitor", "--json=pretty")
    equal([json.loads(line) for line in result.out.splitlines()], events)


def test_monitor_flushes():
    seen = threading.Event()

    def script(call):
        call.reply({"event": "ready"}, continues=True)
        assert seen.wait(30)
        raise Close

    with Service({"Monitor": script}) as service:
        with subprocess.Popen([PROGRAM, "--address=" + service.address, "-j", "monitor"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=ENVIRONMENT) as process:
            equal(process.stdout.readline(), b'{"event":"ready"}\n')     # while the stream goes on
            seen.set()
            process.communicate(timeout=30)
    equal(process.returncode, 69)


# On a terminal

def test_terminal_table():
    blocks = [{"block": BLOCKS[0]}, {"block": BLOCKS[1] | {"reason": "somebody took it " * 3}}]
    with Service({"ListBlocks": says(*blocks)}) as service:
        result = Terminal(service, "blocks", columns=100).end()
        contains(result.out, "\x1b[32mmovable\x1b[0m", "\x1b[90moffline\x1b[0m")
        for line in re.sub("\x1b\\[[0-9]+m", "", result.out).splitlines():
            assert len(line) <= 100, line
        assert "RANGE" not in result.out
        contains(Terminal(service, "blocks", columns=160).end().out, "RANGE", "0x140000000-0x147ffffff")
        for env in ({"NO_COLOR": ""}, {"TERM": "dumb"}):
            assert "\x1b" not in Terminal(service, "blocks", env=env).end().out
        contains(Terminal(service, "-j", "blocks").end().out, "[\r\n  {\r\n")


def test_terminal_wraps():
    prose = "the quick brown fox jumps over the lazy dog " * 3
    with Service({"ListDevices": says({"device": DEVICE | {"reason": prose}})}) as service:
        out = Terminal(service, "devices", columns=100, env={"NO_COLOR": "1"}).end().out
    rows = out.splitlines()[1:-2]
    start = out.index("REASON")
    assert len(rows) > 2 and all(len(row) <= 100 for row in rows), out
    equal(" ".join(row[start:].strip() for row in rows), prose.strip())


def test_terminal_progress():
    def script(call):
        call.reply({"job": job("evacuating", evacuatedBytes=100 * M, etaUsec=2500000)}, continues=True)
        call.wait("seen")
        call.reply({"job": DONE})

    with Service({"Unplug": script}) as service:
        terminal = Terminal(service, "unplug", "1G", columns=80)
        terminal.until("3s left\x1b[K")
        service.event("seen").set()
        result = terminal.end()
    equal(result.out, "\rJob 7 evacuating " + "━" * 8 + "╌" * 28 + " 23% 100M of 400M, 3s left\x1b[K"
          "\r\x1b[KRemoved 1G in 2s 500ms.\r\n")
    equal(result.code, 0)


def test_terminal_progress_is_rare():
    def script(call):
        for done in range(400):
            call.reply({"job": job("evacuating", evacuatedBytes=done * M)}, continues=True)
        call.reply({"job": DONE})

    with Service({"Unplug": script}) as service:
        result = Terminal(service, "unplug", "1G").end()
        assert result.out.count("\r\x1b[K") == 1 and result.out.count("evacuating") < 15, result.out
        contains(result.out, "Removed 1G")
        result = Terminal(service, "unplug", "1G", env={"LC_ALL": "C"}).end()
        assert "━" not in result.out
        result = Terminal(service, "unplug", "1G", env={"TERM": "dumb"}).end()
        equal(result.out, "Job 7: evacuating\r\nRemoved 1G in 2s 500ms.\r\n")
        for columns in (1, 5, 20, 30):
            result = Terminal(service, "unplug", "1G", columns=columns).end()
            for line in re.findall(r"\r(Job [^\x1b]*)\x1b\[K", result.out):
                assert len(line) < max(columns, 5), (columns, line)


def test_interrupt_cancels():
    def unplug(call):
        call.reply({"job": job("evacuating")}, continues=True)
        call.wait("cancel")
        call.reply({"job": job("restoring")}, continues=True)
        call.reply({"job": job("cancelled", cause="cancelled", reason="asked by uid 0")})

    def cancel(call):
        equal(call.parameters, {"id": 7})
        call.reply({"job": job("evacuating")})
        call.tell("cancel")

    with Service({"Unplug": unplug, "Cancel": cancel}) as service:
        terminal = Terminal(service, "unplug", "1G")
        terminal.until("evacuating")
        terminal.key(b"\x03")
        result = terminal.end()
    equal(result.code, 1)
    contains(result.out, "Cancelling job 7; Ctrl-C again leaves it running.\r\n",
             "Job 7 was cancelled: asked by uid 0.")


def test_interrupt_too_late():
    def unplug(call):
        call.reply({"job": job("ejecting")}, continues=True)
        call.wait("cancel")
        call.reply({"job": DONE})

    def cancel(call):
        call.error("org.memunplug.Busy", reason="it is being ejected")
        call.tell("told")

    with Service({"Unplug": unplug, "Cancel": cancel}) as service:
        terminal = Terminal(service, "unplug", "1G")
        terminal.until("ejecting")
        terminal.key(b"\x03")
        terminal.until("Busy: it is being ejected.")
        service.event("cancel").set()
        result = terminal.end()
    equal(result.code, 0)
    contains(result.out, "Removed 1G")


def test_interrupt_twice_leaves():
    def unplug(call):
        call.reply({"job": job("evacuating")}, continues=True)
        call.wait_gone()

    with Service({"Unplug": unplug, "Cancel": lambda call: call.wait_gone()}) as service:
        terminal = Terminal(service, "unplug", "1G")
        terminal.until("evacuating")
        terminal.key(b"\x03")
        terminal.until("Cancelling job 7")
        terminal.key(b"\x03")
        result = terminal.end()
    equal(result.code, 130)
    contains(result.out, "Job 7 goes on without this command; 'memunplugctl show 7' shows it.")


def test_interrupt_before_the_job():
    def unplug(call):
        call.tell("called")
        call.wait("interrupted")
        call.reply({"job": job("queued")}, continues=True)
        call.wait("cancel")
        call.reply({"job": job("cancelled")})

    def cancel(call):
        call.reply({"job": job("cancelled")})
        call.tell("cancel")

    with Service({"Unplug": unplug, "Cancel": cancel}) as service:
        terminal = Terminal(service, "unplug", "1G")
        assert service.event("called").wait(30)
        terminal.key(b"\x03")
        terminal.until("^C")    # the terminal echoes the key when the signal is sent
        service.event("interrupted").set()
        result = terminal.end()
    equal(result.code, 1)
    contains(result.out, "Cancelling job 7")


def test_monitor_screen():
    def script(call):
        call.reply({"event": "job", "job": job("evacuating", evacuatedBytes=100 * M)}, continues=True)
        call.reply({"event": "ready"}, continues=True)
        call.wait("seen")
        call.reply({"event": "block", "block": BLOCKS[1]}, continues=True)
        call.reply({"event": "job", "job": DONE}, continues=True)
        call.wait_gone()

    with Service({"Monitor": script}) as service:
        terminal = Terminal(service, "monitor", columns=80, rows=12)
        terminal.until("1 job under way")
        terminal.until("Job 7 evacuating ━")
        service.event("seen").set()
        terminal.until("block 41 offline offline 128M " + SAFE[:20])
        terminal.until("0 jobs under way")
        terminal.resize(5, 40)
        terminal.key(b"\x03")
        result = terminal.end()
    equal(result.code, 0)
    assert result.out.startswith("\x1b[?1049h\x1b[?25l"), result.out
    contains(result.out, "\x1b[?25h\x1b[?1049l")
    assert "\x1b" not in result.out.split("\x1b[?1049l")[1]


def map_block(index, verdict, device="PNP0C80:00"):
    return {"block": BLOCKS[0] | {"index": index, "verdict": verdict, "device": device}}


def test_monitor_blocks():
    """A mark for each block; the list is asked for again when something has changed."""
    lists = []

    def blocks(call):
        first = [map_block(0, "guarded", "boot"), map_block(1, "unmovable", "boot"), map_block(40, "free"),
                 map_block(41, "movable"), map_block(42, "busy"), map_block(43, "offline"), map_block(44, "new")]
        lists.append(1)
        if len(lists) > 1:
            call.wait("seen")
        call.stream(*(first if len(lists) == 1 else first[:2] + [map_block(40, "busy"), map_block(41, "busy")]))

    def script(call):
        call.reply({"event": "ready"}, continues=True)
        call.wait("event")
        call.reply({"event": "block"} | map_block(41, "offline"), continues=True)
        call.wait("seen")
        call.reply({"event": "block"} | map_block(44, "absent"), continues=True)
        call.wait_gone()

    with Service({"Monitor": script, "ListBlocks": blocks}) as service:
        terminal = Terminal(service, "monitor", columns=80, env={"NO_COLOR": "1"})
        terminal.until("boot                    0 -x\x1b[K")
        terminal.until("PNP0C80:00             40 .o*_?\x1b[K")
        terminal.until("_ offline  . free  o movable  - guarded  x unmovable  * busy\x1b[K")
        service.event("event").set()
        terminal.until("PNP0C80:00             40 ._*_?\x1b[K")     # by the event alone
        service.event("seen").set()
        terminal.until("PNP0C80:00             40 **\x1b[K")        # as the next list has it, 42 to 44 are gone
        terminal.key(b"\x03")
        result = terminal.end()
    equal(result.code, 0)
    contains(result.out.split("\x1b[?1049l")[1], "PNP0C80:00             40 **\r\n")


def test_monitor_of_many_blocks():
    """One mark for several, and a device that goes on in the next row; with colours."""
    many = [map_block(index, "busy" if index == 999 else "free") for index in range(1000)]
    many.append(map_block(5000, "movable", "x"))

    def script(call):
        call.reply({"event": "ready"}, continues=True)
        call.wait_gone()

    with Service({"Monitor": script, "ListBlocks": says(*many)}) as service:
        terminal = Terminal(service, "monitor", columns=127, rows=16)
        terminal.until("(4 blocks each)")
        terminal.key(b"\x03")
        out = terminal.end().out
        contains(out, "\x1b[32m" + "." * 100 + "\x1b[0m\x1b[K", "800 \x1b[32m" + "." * 49 + "\x1b[33m*\x1b[0m\x1b[K",
                 "x                    5000 \x1b[32mo\x1b[0m\x1b[K")
        terminal = Terminal(service, "monitor", "--no-legend", columns=60)
        terminal.until("5000 ")
        terminal.key(b"\x03")
        assert "movable  " not in terminal.end().out


def test_monitor_screen_gives_the_terminal_back():
    def script(call):
        call.reply({"event": "ready"}, continues=True)
        raise Close

    with Service({"Monitor": script}) as service:
        result = Terminal(service, "monitor").end()
    equal(result.code, 69)
    contains(result.out.split("\x1b[?1049l")[1], "The service closed the connection.")


if __name__ == "__main__":
    sys.exit(main([value for name, value in list(globals().items()) if name.startswith("test_")]))
