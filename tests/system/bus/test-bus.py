#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-bus.py MEMUNPLUGD TOP: the real daemon on a real bus with the real policy, above a made-up /sys. busctl is the
client; what it is told must be what Varlink clients are told."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback

PROGRAM, TOP = sys.argv[1], pathlib.Path(sys.argv[2])
PATIENCE = 30
BLOCKS, FIRST_DIMM, SIZE = 16, 8, 0x8000000
CONFIG = """<busconfig><listen>unix:path={directory}/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><deny own="*"/><deny send_type="method_call"/><allow send_type="signal"/>
<allow send_requested_reply="true" send_type="method_return"/><allow send_requested_reply="true" send_type="error"/>
<allow receive_type="method_call"/><allow receive_type="method_return"/><allow receive_type="error"/>
<allow receive_type="signal"/><allow send_destination="org.freedesktop.DBus"/></policy>
<include>{policy}</include><policy user="{uid}"><allow own="org.memunplug1"/></policy></busconfig>
"""


class Machine:
    """A tree that looks like a machine's /sys, a bus, and the daemon."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="memunplug-bus-"))
        self.directory.chmod(0o755)
        self.address = f"unix:path={self.directory}/bus"
        self.root = self.directory / "root"
        self.make_tree()
        config = self.directory / "bus.conf"
        config.write_text(CONFIG.format(directory=self.directory, policy=TOP / "policy/org.memunplug1.conf",
                                        uid=os.geteuid()))
        self.bus = subprocess.Popen(["dbus-daemon", "--nofork", "--nopidfile", f"--config-file={config}",
                                     "--print-address=1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.bus.stdout.readline()
        self.start()

    def put(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def make_tree(self):
        memory = "sys/devices/system/memory"
        self.put(f"{memory}/block_size_bytes", f"{SIZE:x}\n")
        for block in range(BLOCKS):
            self.put(f"{memory}/memory{block}/state", "online\n")
            self.put(f"{memory}/memory{block}/phys_index", f"{block:08x}\n")
            self.put(f"{memory}/memory{block}/valid_zones", "Normal\n" if block < FIRST_DIMM else "Movable\n")
            (self.root / memory / f"memory{block}/node0").symlink_to("../../node/node0")
        self.put("proc/meminfo", "MemTotal: 2097152 kB\nMemFree: 1048576 kB\nMemAvailable: 1048576 kB\n"
                                 "SwapTotal: 0 kB\nSwapFree: 0 kB\n")
        self.put("proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n")
        self.put("proc/iomem", "")

    def start(self):
        """READY=1 comes when the name on the bus is ours."""
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = str(self.directory / "notify")
        notify.bind(name)
        notify.settimeout(PATIENCE)
        environment = os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": self.address, "NOTIFY_SOCKET": name}
        self.daemon = subprocess.Popen([PROGRAM, f"--root={self.root}", f"--listen={self.directory}/varlink",
                                        "--device=", "--state=state"], env=environment)
        while b"READY=1" not in notify.recv(4096):
            pass
        notify.close()
        os.unlink(name)

    def busctl(self, *arguments, uid=None):
        command = ["busctl", f"--address={self.address}", "--json=short", *arguments]
        if uid is not None:
            command = ["setpriv", f"--reuid={uid}", "--clear-groups", *command]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)

    def manager(self, member, *arguments, uid=None):
        """The reply's values, or the error's text."""
        done = self.busctl("call", "org.memunplug1", "/org/memunplug1", "org.memunplug1.Manager", member, *arguments,
                           uid=uid)
        return done.stderr if done.returncode else json.loads(done.stdout)["data"] if done.stdout else []

    def varlink(self, method, parameters=None, more=False):
        """All replies' parameters, or the error's name."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(f"{self.directory}/varlink")
            call = {"method": f"org.memunplug.{method}", "parameters": parameters or {}, "more": more}
            s.sendall(json.dumps(call).encode() + b"\0")
            data, replies = b"", []
            while True:
                while b"\0" in data:
                    message, data = data.split(b"\0", 1)
                    reply = json.loads(message)
                    if "error" in reply:
                        return reply["error"]
                    replies.append(reply.get("parameters", {}))
                    if not reply.get("continues"):
                        return replies
                data += s.recv(65536)

    def monitor(self):
        """Signals of the service from now on, as busctl monitor shows them."""
        return Monitor(self)

    def end(self):
        self.daemon.send_signal(signal.SIGTERM)
        code = self.daemon.wait(PATIENCE)
        self.bus.kill()
        self.bus.wait()
        shutil.rmtree(self.directory)
        return code


class Monitor:
    def __init__(self, machine):
        self.process = subprocess.Popen(
            ["busctl", f"--address={machine.address}", "--json=short", "monitor",
             "--match=type='signal',sender='org.memunplug1'", "--match=type='signal',member='NameAcquired'"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.process.stderr.readline()      # "Monitoring bus message stream."

    def until(self, member):
        """All signals to the first of this name."""
        signals = []
        for line in self.process.stdout:
            message = json.loads(line)
            signals.append((message.get("member"), message.get("path"), message.get("payload", {}).get("data")))
            if message.get("member") == member:
                return signals
        raise EOFError(member)

    def end(self):
        self.process.kill()
        self.process.wait()


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
             ("Replug", {"blocks": [12]}, ("0", "1", "12", "", "0")),
             ("Plan", {"blocks": [4000000]}, ("0", "1", "4000000", "", "0"))]
    names = {"InvalidParameter": "missing, not valid", "NoSuchBlock": "No memory block", "NoSuchDevice": "No memory device"}
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


def main():
    missing = [name for name in ("dbus-daemon", "busctl", "setpriv") if not shutil.which(name)]
    if missing:
        print(f"1..0 # SKIP no {missing[0]}")
        return 0
    machine = Machine()
    tests = [value for name, value in globals().items() if name.startswith("test_")]
    print(f"1..{len(tests) + 1}")
    for number, test in enumerate(tests, 1):
        try:
            test(machine)
            print(f"ok {number} {test.__name__}", flush=True)
        except Exception:
            print("# " + traceback.format_exc().replace("\n", "\n# "))
            print(f"not ok {number} {test.__name__}", flush=True)
    print("not " * (machine.end() != 0) + f"ok {len(tests) + 1} the daemon ends well")
    return 0


if __name__ == "__main__":
    sys.exit(main())
