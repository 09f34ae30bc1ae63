# SPDX-License-Identifier: GPL-2.0-or-later
"""The real polkitd as the judge, in a mount namespace, where users, actions and rules are there without being
installed."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from machine import PATIENCE, TOP

OWN_UID = 64321
POLKITD = "/usr/lib/polkit-1/polkitd"
BUS_CONFIG = "<include>/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf</include>"
PLACES = ("/etc/passwd", "/etc/group", "/usr/share/polkit-1/actions", "/etc/polkit-1/rules.d")


def go_inside():
    """Goes on in a mount namespace of its own, or ends the test as skipped."""
    if os.geteuid() != 0:
        print("1..0 # SKIP only root can be another user")
        sys.exit(0)
    if "--inside" in sys.argv:
        return
    if subprocess.run(["unshare", "--mount", "true"]).returncode:
        print("1..0 # SKIP no mount namespaces here")
        sys.exit(0)
    inside = ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv, "--inside"]
    sys.exit(subprocess.run(inside).returncode)


def mount(source, target):
    subprocess.run(["mount", "--bind", source, target], check=True)


def prepare(directory, more_users):
    users, groups = directory / "passwd", directory / "group"
    names = {"memunplug": OWN_UID} | more_users
    users.write_text(pathlib.Path("/etc/passwd").read_text() + "".join(
        f"{name}:x:{uid}:{uid}::/nonexistent:/usr/sbin/nologin\n" for name, uid in names.items()))
    groups.write_text(pathlib.Path("/etc/group").read_text() + "".join(
        f"{name}:x:{uid}:\n" for name, uid in names.items()))
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


def start(machine):
    environment = os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": machine.address}
    machine.polkitd = subprocess.Popen([POLKITD, "--no-debug"], env=environment, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
    end = time.monotonic() + PATIENCE
    while machine.busctl("status", "org.freedesktop.PolicyKit1").returncode:
        assert time.monotonic() < end, "polkitd does not come"


def stop(machine):
    machine.polkitd.kill()
    machine.polkitd.wait()


@contextlib.contextmanager
def surroundings(**more_users):
    """The user memunplug, more users (name=uid, each with a group of its own) and our actions. Gives the folder for
    rules."""
    with tempfile.TemporaryDirectory() as directory:
        yield prepare(pathlib.Path(directory), more_users)
        for place in PLACES:
            subprocess.run(["umount", place], check=True)
