#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every source file says its licence in its first lines, the right one for its folder; the top level is the
architecture and nothing else; daemon/ has no goto, no thread, no shell."""
import pathlib
import re
import sys

TOP = {"meson.build", "meson_options.txt", "README.md", "NEWS.md", "LICENSE", "daemon", "kmod", "policy", "units",
       "tests", "docs", "debian"}
SOURCE = {".c", ".h", ".py", ".sh", ".build", ".varlink", ".scd", ".in", ".xml", ".conf", ".rules"}
FORBIDDEN = [(re.compile(p), why) for p, why in (
    (r"\bgoto\b", "no goto in daemon/: clean up by attribute"),
    (r"\bpthread_", "no threads: worker processes"),
    (r"\b(system|popen)\(", "no shell"),
    (r"\b(u?sleep)\(", "no sleeping: wait for events"),
)]
# A worker that is in several calls of the kernel at once, and has to end as one: no process that has gone leaves one behind.
THREADS = "daemon/engine/task-evacuate.c"


def licence(name: str) -> str:
    if name.startswith("kmod/include/uapi/"):
        return "GPL-2.0-only WITH Linux-syscall-note"
    return "GPL-2.0-only" if name.startswith("kmod/") else "GPL-2.0-or-later"


def check_licence(top: pathlib.Path, file: pathlib.Path) -> list[str]:
    name = str(file.relative_to(top))
    if "/corpus/" in name or "/data/" in name:
        return []
    head = "\n".join(file.read_text(errors="replace").splitlines()[:4])
    match = re.search(r"SPDX-License-Identifier: ([^*\n]+?)\s*(?:\*/|-->|$)", head, re.M)
    if not match:
        return [f"{name}: no SPDX line"]
    return [] if match.group(1) == licence(name) else [f"{name}: licence '{match.group(1)}', not '{licence(name)}'"]


def check_words(top: pathlib.Path, file: pathlib.Path) -> list[str]:
    code = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), file.read_text(), flags=re.S)
    code = re.sub(r'"(?:\\.|[^"\\])*"', '""', code)
    return [f"{file.relative_to(top)}:{number}: {why}" for number, line in enumerate(code.splitlines(), 1)
            for pattern, why in FORBIDDEN
            if pattern.search(line) and not (why.startswith("no threads") and str(file).endswith(THREADS))]


def tracked(top: pathlib.Path):
    for file in sorted(top.rglob("*")):
        parts = file.relative_to(top).parts
        if file.is_file() and not any(p.startswith((".git", "build", "__pycache__")) for p in parts):
            yield file


def main() -> int:
    top = pathlib.Path(sys.argv[1])
    wrong = [f"{p.name}: not part of the top level" for p in top.iterdir()
             if p.name not in TOP and not p.name.startswith((".", "build"))]
    for file in tracked(top):
        if file.suffix in SOURCE and not file.name.endswith(".mod.c"):
            wrong += check_licence(top, file)
        if file.suffix in (".c", ".h") and file.is_relative_to(top / "daemon"):
            wrong += check_words(top, file)
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
