#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-polkit.py MEMUNPLUGD TOP: the real polkitd judges callers by our actions, and answers the daemon although
that runs as its own user. All in a mount namespace, where the user and the actions are there without being
installed."""
import pathlib

import authority
from machine import SIZE, Machine, needs, run_tests

NOBODY = 65534
UNPLUG = ("Unplug", "tatsa{sv}", str(SIZE), "0", "", "0")


def set_rule(machine, result):
    """What polkit says about nobody and unplug, once it has read the new rule."""
    (machine.rules / "50-test.rules").write_text(
        "polkit.addRule(function(action, subject) {"
        "  if (action.id == 'org.memunplug1.unplug' && subject.user == 'nobody'"
        f"     && action.lookup('target') == '128M') return polkit.Result.{result}; }});\n")
    authority.stop(machine)
    authority.start(machine)


def test_the_daemon_is_its_user(machine):
    status = pathlib.Path(f"/proc/{machine.daemon.pid}/status").read_text()
    assert f"Uid:\t{authority.OWN_UID}\t{authority.OWN_UID}" in status, status


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
    authority.stop(machine)
    assert machine.manager(*UNPLUG)[1].startswith("/org/memunplug1/job/_")
    assert "ccess denied" in (answer := machine.manager(*UNPLUG, uid=NOBODY)) or "Not allowed" in answer, answer


def main():
    with authority.surroundings() as rules:
        machine = Machine("--user=memunplug", bus_config=authority.BUS_CONFIG)
        machine.rules = rules
        authority.start(machine)
        run_tests(machine, [value for name, value in list(globals().items()) if name.startswith("test_")])


needs("dbus-daemon", "busctl", "setpriv", "unshare", authority.POLKITD)
authority.go_inside()
main()
