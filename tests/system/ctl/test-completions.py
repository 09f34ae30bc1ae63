#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-completions.py MEMUNPLUGCTL TOP: what bash and zsh make of the Tab key, in interactive shells on terminals, with a
service that answers."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake import Service  # noqa: E402
from program import PROGRAM, Pty, Skip, contains, equal, main, verbs  # noqa: E402

FOLDER = pathlib.Path(sys.argv[2]) / "daemon/ctl/completions"
DEVICES = [{"name": name, "kind": "acpi_dimm", "firstBlock": 32, "blocks": 8, "sizeBytes": 1 << 30, "onlineBytes": 0,
            "verdict": "movable"} for name in ("PNP0C80:00", "PNP0C80:01", "boot")]
BLOCKS = [{"index": index, "physicalAddress": index << 27, "sizeBytes": 1 << 27, "state": "online", "verdict": "free"}
          for index in (7, 40, 41)]
JOBS = [{"id": number, "source": "operator", "operation": "unplug", "state": "done", "requestedBytes": 0,
         "removedBytes": 0, "evacuatedBytes": 0, "moveBytes": 0, "totalBlocks": 0, "removedBlocks": 0, "attempts": 1,
         "createdAt": 1} for number in (3, 12)]


def lists():
    return Service({"ListDevices": lambda call: call.stream(*[{"device": item} for item in DEVICES]),
                    "ListBlocks": lambda call: call.stream(*[{"block": item} for item in BLOCKS]),
                    "ListJobs": lambda call: call.stream(*[{"job": item} for item in JOBS])})


class Shell(Pty):
    """Waits at its prompt with the completion loaded. What is on the line is seen by what is echoed."""

    def __init__(self, *command, **environment):
        path = os.path.dirname(os.path.abspath(PROGRAM)) + ":/usr/bin:/bin"
        super().__init__(*command, env={"PATH": path, "TERM": "dumb", **environment}, columns=200)

    def say(self, text):
        self.key(text.encode())

    def types(self, text, wanted):
        """After text and Tab the line has wanted, in what came since; then it is empty again."""
        before = len(self.text)
        self.say(text + "\t")
        self.until_new(wanted, before)
        self.say("\x15: end\n")         # Ctrl-U, and a command of which there is only one
        self.ready()
        return self.text[before:]

    def until_new(self, wanted, before):
        mark, self.text = self.text[:before], self.text[before:]
        try:
            self.until(wanted)
        finally:
            self.text = mark + self.text

    def ready(self):
        self.count += 1
        self.until(f"<{self.count}>")

    def leave(self):
        self.say("exit\n")
        equal(self.end().code, 0)


class Bash(Shell):
    def __init__(self):
        super().__init__("bash", "--norc", "--noprofile", "-i", INPUTRC="/dev/null")
        self.count = 0
        self.say(f"source {FOLDER}/bash/memunplugctl; bind 'set enable-bracketed-paste off' 'set bell-style none'; "
                 "n=0; PS1='<$((++n))> '\n")
        self.ready()


class Zsh(Shell):
    def __init__(self, folder):
        super().__init__("zsh", "-f", "-i", ZDOTDIR=folder)
        self.count = 0
        self.say(f"unsetopt beep zle_bracketed_paste prompt_cr prompt_sp; fpath=({FOLDER}/zsh $fpath); "
                 "autoload -U compinit; compinit -u -D; setopt auto_list prompt_subst; n=0; "
                 "precmd() { ((++n)) }; PS1='<$n> '\n")
        self.ready()


def complete(*line):
    """What bash offers for the last word."""
    script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; '
              'COMP_POINT=${#COMP_LINE}; _memunplugctl; printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "--norc", "-c", script, "bash", FOLDER / "bash/memunplugctl", "memunplugctl", *line],
                          capture_output=True, text=True, timeout=30)
    equal(done.returncode, 0)
    return done.stdout.split()


def test_bash_offers():
    equal(complete("unp"), ["unplug"])
    equal(sorted(complete("")), sorted(verbs()))
    equal(complete("--json", "=", "p"), ["pretty"])
    equal(complete("--json", "="), ["pretty", "short", "off"])
    equal(complete("--json", "=", "short", "ex"), ["explain"])
    equal(complete("--deadl"), ["--deadline="])
    nodes = sorted("node:" + path.name[4:] for path in pathlib.Path("/sys/devices/system/node").glob("node[0-9]*"))
    equal(sorted(complete("--address", "=", "/nonexistent", "unplug", "")), nodes)


def test_bash_on_a_terminal():
    with lists() as service:
        shell = Bash()
        at = f"memunplugctl --address={service.address}"
        shell.types("memunplugctl dev", "memunplugctl devices ")
        shell.types("memunplugctl --deadl", "--deadline=")
        shell.types("memunplugctl --json=sh", "--json=short ")
        shell.types(f"{at} explain 4", "explain 4")
        contains(shell.types(f"{at} explain 4\t", "41"), "40")
        shell.types(f"{at} show 1", "show 12 ")
        shell.types(f"{at} unplug bo", "unplug boot ")
        shell.types(f"{at} unplug PNP", "unplug PNP0C80:0")
        shell.types(f"{at} unplug PNP0C80:01", "unplug PNP0C80:01 ")
        shell.leave()


def test_zsh_on_a_terminal():
    if not shutil.which("zsh"):
        raise Skip("no zsh")
    with lists() as service, tempfile.TemporaryDirectory() as folder:
        shell = Zsh(folder)
        at = f"memunplugctl --address={service.address}"
        shell.types("memunplugctl dev", "memunplugctl devices ")
        shell.types("memunplugctl --deadl", "--deadline=")
        shell.types("memunplugctl --json=sh", "--json=short ")
        out = shell.types("memunplugctl m", "metrics")
        contains(out, "monitor", "watch jobs, blocks and devices change")
        out = shell.types(f"{at} explain 4\t", "41")
        contains(out, "40")
        shell.types(f"{at} show 1", "show 12 ")
        shell.types(f"{at} unplug bo", "unplug boot ")
        shell.types(f"{at} unplug PNP", "unplug PNP0C80:0")
        shell.types(f"{at} unplug PNP0C80:01", "unplug PNP0C80:01 ")
        found = re.findall(r"^(\w+) +-- ", shell.types("memunplugctl \t", "status  "), re.M)
        equal(sorted(found), sorted(verbs()))
        shell.leave()


if __name__ == "__main__":
    sys.exit(main([value for name, value in list(globals().items()) if name.startswith("test_")]))
