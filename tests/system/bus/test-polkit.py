#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-polkit.py MEMUNPLUGD TOP: the real polkitd judges callers by our actions, and answers the daemon although
that runs as its own user. All in a mount namespace, where the user and the actions are there without being
installed."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from machine import PATIENCE, SIZE, TOP, Machine, needs, run_tests

NOBODY, OWN_UID = 65534, 64321
POLKITD = "/usr/lib/polkit-1/polkitd"
BUS_CONFIG = "<include>/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf</include>"
UNPLUG = ("Unplug", "tatsa{sv}", str(SIZE), "0", "", "0")


def mount(source, target):
    subprocess.run(["mount", "--bind", source, target], check=True)


def prepare(directory):
    """The user memunplug and the actions, for this namespace only."""
    users = directory / "passwd"
    users.write_text(pathlib.Path("/etc/passwd").read_text() +
                     f"memunplug:x:{OWN_UID}:{OWN_UID}::/nonexistent:/usr/sbin/nologin\n")
    groups = directory / "group"
    groups.write_text(pathlib.Path("/etc/group").read_text() + f"memunplug:x:{OWN_UID}:\n")
    actions, rules = directory / "actions", directory / "rules"
    shutil.copytree("/usr/share/polkit-1/actions", actions)
    shutil.copy(TOP / "policy/org.memunplug1.policy", actions)
    rules.mkdir()
    for file in (directory, actions, rules, users, groups, *actions.iterdir()):
        file.chmod(0o755 if file.is_dir() else 0o644)
    mount(users, "/etc/passwd")
    mount(groups, "/etc/group")
    mount(actions, "/usr/share/polkit-1/actions")
    mount(rules, "/etc/polkit-1/rules.d")
    return rules


def start_polkitd(machine):
    environment = os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": machine.address}
    machine.polkitd = subprocess.Popen([POLKITD, "--no-debug"], env=environment, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
    end = time.monotonic() + PATIENCE
    while machine.busctl("status", "org.freedesktop.PolicyKit1").returncode:
        assert time.monotonic() < end, "polkitd does not come"


def set_rule(machine, result):
    """What polkit says about nobody and unplug, once it has read the new rule."""
    (machine.rules / "50-test.rules").write_text(
        "polkit.addRule(function(action, subject) {"
        "  if (action.id == 'org.memunplug1.unplug' && subject.user == 'nobody'"
        f"     && action.lookup('target') == '128M') return polkit.Result.{result}; }});\n")
    machine.polkitd.kill()
    machine.polkitd.wait()
    start_polkitd(machine)


def test_the_daemon_is_its_user(machine):
    status = pathlib.Path(f"/proc/{machine.daemon.pid}/status").read_text()
    assert f"Uid:\t{OWN_UID}\t{OWN_UID}" in status, status


def test_nobody_needs_an_administrator(machine):
    answer = machine.manager(*UNPLUG, uid=NOBODY)
    assert "nteractive auth" in answer, answer


def test_a_rule_may_allow(machine):
    set_rule(machine, "YES")
    assert machine.manager(*UNPLUG, uid=NOBODY)[1].startswith("/org/memunplug1/job/_")
    assert "nteractive auth" in machine.manager("Cancel", "u", "1", uid=NOBODY)     # another action
    other = ("Unplug", "tatsa{sv}", str(2 * SIZE), "0", "", "0")                    # another target
    assert "nteractive auth" in machine.manager(*other, uid=NOBODY)


def test_a_rule_may_deny(machine):
    set_rule(machine, "NO")
    answer = machine.manager(*UNPLUG, uid=NOBODY)
    assert "ccess denied" in answer or "Not allowed" in answer, answer


def test_root_needs_no_polkit(machine):
    machine.polkitd.kill()
    machine.polkitd.wait()
    assert machine.manager(*UNPLUG)[1].startswith("/org/memunplug1/job/_")
    assert "ccess denied" in (answer := machine.manager(*UNPLUG, uid=NOBODY)) or "Not allowed" in answer, answer


def main():
    needs("dbus-daemon", "busctl", "setpriv", "unshare", POLKITD)
    if os.geteuid() != 0:
        print("1..0 # SKIP only root can be another user")
        return
    if "--inside" not in sys.argv:
        inside = ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv, "--inside"]
        if subprocess.run(["unshare", "--mount", "true"]).returncode:
            print("1..0 # SKIP no mount namespaces here")
            return
        sys.exit(subprocess.run(inside).returncode)
    with tempfile.TemporaryDirectory() as directory:
        rules = prepare(pathlib.Path(directory))
        machine = Machine("--user=memunplug", bus_config=BUS_CONFIG)
        machine.rules = rules
        start_polkitd(machine)
        run_tests(machine, [value for name, value in list(globals().items()) if name.startswith("test_")])
        for target in ("/etc/passwd", "/etc/group", "/usr/share/polkit-1/actions", "/etc/polkit-1/rules.d"):
            subprocess.run(["umount", target], check=True)


main()
