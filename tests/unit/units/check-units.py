#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""check-units.py TOP SERVICE OWNERS_SERVICE: the files that connect the services to systemd, the bus and polkit are
what their readers accept, agree with each other and with the program, and keep the services in their sandboxes."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

EXPOSURE_MAX = 16  # ten times what systemd-analyze security prints
BUS_NAME = "org.memunplug1"
STANDARD = {("org.freedesktop.DBus.Introspectable", None), ("org.freedesktop.DBus.Peer", None),
            ("org.freedesktop.DBus.Properties", "Get"), ("org.freedesktop.DBus.Properties", "GetAll"),
            ("org.freedesktop.DBus.ObjectManager", "GetManagedObjects")}


def run(*command: str) -> list[str]:
    if not shutil.which(command[0]):
        print(f"{command[0]} is not here, left out")
        return []
    done = subprocess.run(command, capture_output=True, text=True)
    return [] if done.returncode == 0 else [f"{' '.join(command)}: {done.stdout}{done.stderr}"]


def check_service(service: pathlib.Path, socket: pathlib.Path) -> list[str]:
    """What it starts need not be installed here: that line is replaced by something that is."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        text = re.sub(r"^ExecStart=.*$", "ExecStart=/bin/true", service.read_text(), flags=re.M)
        (folder / service.name).write_text(text)
        shutil.copy(socket, folder)
        units = [str(folder / service.name), str(folder / socket.name)]
        return (run("systemd-analyze", "verify", "--man=no", *units) +
                run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", units[0]))


def check_catalog(top: pathlib.Path) -> list[str]:
    catalog = (top / "units/memunplugd.catalog").read_text()
    header = (top / "daemon/util/message-ids.h").read_text()
    ids = re.findall(r'"([0-9a-f]+)"', header)
    entries = re.findall(r"^-- (\S+)$", catalog, re.M)
    wrong = [f"message id {i} is not 128 bits" for i in ids if len(i) != 32]
    wrong += [f"message id {i} is there twice" for i in set(ids) if ids.count(i) > 1]
    wrong += [f"message id {i} is in the header or in the catalog only" for i in set(ids) ^ set(entries)]
    wrong += [f"catalog: line longer than 76: {line}" for line in catalog.splitlines() if len(line) > 76]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "usr/lib/systemd/catalog").mkdir(parents=True)
        (folder / "var/lib/systemd/catalog").mkdir(parents=True)
        shutil.copy(top / "units/memunplugd.catalog", folder / "usr/lib/systemd/catalog")
        wrong += run("journalctl", "--update-catalog", f"--root={folder}")
        if shutil.which("journalctl"):
            listed = subprocess.run(["journalctl", "--list-catalog", f"--root={folder}"],
                                    capture_output=True, text=True)
            wrong += [f"journalctl does not know {i}" for i in ids if i not in listed.stdout]
    return wrong


def interface_members(top: pathlib.Path) -> set[tuple[str, str]]:
    return {(interface.get("name"), method.get("name"))
            for file in (top / "units").glob("org.memunplug1.*.xml")
            for interface in ET.parse(file).getroot().iter("interface") for method in interface.iter("method")}


def check_bus_policy(top: pathlib.Path) -> list[str]:
    """Deny first, then exactly the methods there are, each by name, and never another service's."""
    root = ET.parse(top / f"policy/{BUS_NAME}.conf").getroot()
    default = next(p for p in root.iter("policy") if p.get("context") == "default")
    allowed = {(rule.get("send_interface"), rule.get("send_member")) for rule in default.iter("allow")
               if rule.get("send_interface")}
    wrong = []
    if list(default)[0].tag != "deny" or list(default)[0].attrib != {"send_destination": BUS_NAME}:
        wrong.append("bus policy: the default is not denied first")
    for rule in root.iter():
        target = [rule.get(k) for k in ("own", "send_destination", "receive_sender") if rule.get(k)]
        if rule.tag in ("allow", "deny") and target != [BUS_NAME]:
            wrong.append(f"bus policy: rule about something else: {rule.attrib}")
    expected = interface_members(top) | STANDARD
    return wrong + [f"bus policy and interfaces disagree about {member}"
                    for member in sorted(map(str, allowed ^ expected))]


def check_polkit(top: pathlib.Path) -> list[str]:
    file = top / f"policy/{BUS_NAME}.policy"
    actions = {action.get("id") for action in ET.parse(file).getroot().iter("action")}
    source = "".join(f.read_text() for f in (top / "daemon/front").glob("operation*.c"))
    wrong = [f"polkit action {name} is not described" for name in
             set(re.findall(r'"(org\.memunplug1\.[a-z]+)"', source)) - actions]
    for action in ET.parse(file).getroot().iter("action"):
        owner = [a.text for a in action.iter("annotate") if a.get("key") == "org.freedesktop.policykit.owner"]
        if owner != ["unix-user:memunplug"]:
            wrong.append(f"polkit would not answer the service about {action.get('id')}")
        if [t.text for t in action.find("defaults")] != ["auth_admin", "auth_admin", "auth_admin_keep"]:
            wrong.append(f"{action.get('id')}: not only administrators may by default")
    dtd = pathlib.Path("/usr/share/polkit-1/policyconfig-1.dtd")
    if dtd.exists():
        wrong += run("xmllint", "--nonet", "--noout", "--dtdvalid", str(dtd), str(file))
    return wrong


def main() -> int:
    top, service, owners = map(pathlib.Path, sys.argv[1:4])
    wrong = (check_service(service, top / "units/memunplugd.socket") +
             check_service(owners, top / "units/memunplug-owners.socket") + check_catalog(top) + check_bus_policy(top) + check_polkit(top) +
             run("systemd-sysusers", "--dry-run", str(top / "units/memunplug.sysusers")))
    print("\n".join(wrong) or "all well")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
