#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The man pages and the completions name all that there is: verbs, options, settings, methods, fields, errors. And the
pages are well formed."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from program import ENVIRONMENT, PROGRAM, contains, equal, main, program_help, verbs  # noqa: E402

DAEMON, TOP, PAGES = sys.argv[2], pathlib.Path(sys.argv[3]), [pathlib.Path(name) for name in sys.argv[4:]]


def page(name):
    """The text of a page without its marks."""
    text = (TOP / "docs" / (name + ".scd")).read_text()
    return re.sub(r"(?<![\w\\])[*_]+|[*_]+(?!\w)|\\", "", text)


def words(text):
    return set(re.findall(r"[A-Za-z0-9_]+", text))


def missing(wanted, found):
    equal(sorted(set(wanted) - set(found)), [])


def options(text):
    return set(re.findall(r"^ +(?:-\w )? *(--[a-z-]+)", text, re.M)) | set(re.findall(r"^ +(-\w)\b", text, re.M))


def test_pages_are_well_formed():
    for path in PAGES:
        if shutil.which("mandoc"):
            done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", path], capture_output=True, text=True, timeout=30)
            found = [line for line in done.stdout.splitlines() if "skipping paragraph macro" not in line]
            equal(found, [])
        if shutil.which("man"):
            done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-Tutf8", "-l", path], capture_output=True,
                                  text=True, env=ENVIRONMENT | {"MANWIDTH": "80"}, timeout=30)
            equal((done.returncode, done.stderr), (0, ""))
            contains(re.sub(".\b", "", done.stdout), "NAME", "SEE ALSO")


def test_references():
    """Pages of ours that are named exist."""
    ours = {path.name.rsplit(".", 2)[0] + "(" + path.name.rsplit(".", 2)[1] + ")" for path in TOP.glob("docs/*.scd")}
    assert len(ours) >= 6
    for path in TOP.glob("docs/*.scd"):
        named = re.findall(r"\*((?:org\.)?memunplug[\w.]*)\*(\(\d\))", path.read_text())
        missing([name + number for name, number in named], ours)


def test_client_page():
    text = page("memunplugctl.1")
    for verb in verbs():
        assert re.search(rf"^{verb}( [A-Z]+)?$", text, re.M), verb
    for option in options(program_help(PROGRAM)):
        assert re.search(rf"(^|, ){option}\b", text, re.M), option


def test_completions():
    for shell, name in (("bash", "memunplugctl"), ("zsh", "_memunplugctl")):
        text = (TOP / "daemon/ctl/completions" / shell / name).read_text()
        for verb in verbs():
            assert re.search(rf"\b{verb}\b", text), (shell, verb)
        for option in options(program_help(PROGRAM)):
            assert option in text, (shell, option)
    found = re.search(r"verbs='([^']*)'", (TOP / "daemon/ctl/completions/bash/memunplugctl").read_text())[1]
    equal(sorted(found.split()), sorted(verbs()))


def test_daemon_page():
    text = page("memunplugd.service.8")
    for option in options(program_help(DAEMON)):
        assert re.search(rf"(^|, ){option}\b", text, re.M), option
    states = re.search(r"type JobState \((.*?)\)", idl(), re.S)[1]
    missing(words(states), words(text))


def test_settings():
    keys = set(re.findall(r"^#(\w+)=", (TOP / "policy/memunplugd.conf").read_text(), re.M))
    assert len(keys) >= 7
    text = page("memunplugd.conf.5").split("[SOURCES]")[1].split("# EXAMPLES")[0]
    equal({key for terms in re.findall(r"^(\w+=(?:, \w+=)*)$", text, re.M) for key in re.findall(r"\w+", terms)}, keys)
    sections = re.findall(r"^\[(\w+)\]", (TOP / "policy/memunplugd.conf").read_text(), re.M)
    contains(page("memunplugd.conf.5"), *[f"[{section.upper()}] SECTION" for section in sections])


def idl():
    text = (TOP / "daemon/front/org.memunplug.varlink").read_text()
    return re.sub(r"^\s*#.*", "", text, flags=re.M)


def test_varlink_page():
    text = page("org.memunplug.7")
    for name, taken, given in re.findall(r"^method (\w+)\((.*?)\) -> \((.*?)\)$", idl(), re.S | re.M):
        taken, given = (", ".join(re.findall(r"(\w+):", part)) for part in (taken, given))
        contains(text, f"{name}({taken}) -> ({given})")
    for name, fields in re.findall(r"^type (\w+) \((.*?)\)$", idl(), re.S | re.M):
        part = re.search(rf"^{name}\n((?:\t.*\n)+)", text, re.M)
        assert part, name
        missing(re.findall(r"(\w+):", fields) if ":" in fields else words(fields), words(part[1]))
    for name, fields in re.findall(r"^error (\w+) \((.*?)\)$", idl(), re.M):
        carried = ", ".join(re.findall(r"(\w+):", fields))
        contains(text, f"{name}({carried})")


def test_bus_page():
    text = " ".join((TOP / "docs/org.memunplug1.5.scd").read_text().split())
    for interface in ("Manager", "Job"):
        tree = xml.etree.ElementTree.parse(TOP / f"units/org.memunplug1.{interface}.xml")
        for member in tree.iter():
            if member.tag in ("method", "signal"):
                arguments = [f"{a.get('direction', '')} {a.get('type')} {a.get('name')}".strip()
                             for a in member.findall("arg")]
                contains(text, f"{member.get('name')}({', '.join(arguments)});")
            elif member.tag == "property":
                emits = [f'EmitsChangedSignal("{a.get("value")}") ' for a in member.findall("annotation")]
                contains(text, f"{''.join(emits)}readonly {member.get('type')} {member.get('name')} = ")


def test_device_page():
    header = (TOP / "kmod/include/uapi/linux/memunplug.h").read_text()
    text = page("memunplug.4")
    contains(text, *re.findall(r"#define (MEMUNPLUG_IOC_[A-Z_]+)\t_IO", header))
    documented = set(re.findall(r"\bE[A-Z]{3,}\b|\bE2BIG\b", header)) - {"EVACUATE", "EVENT"}
    missing([name for name in documented if name not in ("EPOLLIN", "EPOLLOUT", "ERROR")], words(text))


if __name__ == "__main__":
    sys.exit(main([value for name, value in list(globals().items()) if name.startswith("test_")]))
