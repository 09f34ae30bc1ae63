#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The layers of docs/ARCHITECTURE.md: a folder of daemon/ includes only itself and what is listed for it."""
import pathlib
import re
import sys

# folder -> folders it may include. "." is daemon/ itself (main, manager, config).
MAY_USE = {
    "util": set(),
    "memory": {"util"},
    "engine": {"memory", "util"},
    "request": {"engine", "memory", "util"},
    "source": {"request", "engine", "memory", "util"},
    "front": {"request", "engine", "memory", "util"},
    "ctl": {"util"},  # a client: it knows the interface description and nothing of the daemon
    "owners": {"util"},  # a program of its own, with rights of its own
    ".": {"source", "front", "request", "engine", "memory", "util"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def included_folder(path: str) -> str:
    return path.split("/")[0] if "/" in path else "."


def check(daemon: pathlib.Path) -> list[str]:
    wrong = []
    for file in sorted(daemon.rglob("*.[ch]")):
        folder = str(file.parent.relative_to(daemon))
        if folder not in MAY_USE:
            wrong.append(f"{file}: folder '{folder}' is not a layer of the architecture")
            continue
        for number, line in enumerate(file.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            used = included_folder(match.group(1))
            if used == "." and folder != ".":
                if (file.parent / match.group(1)).exists():
                    wrong.append(f"{file}:{number}: include with its folder: \"{folder}/{match.group(1)}\"")
                continue  # generated headers have no folder
            if used != folder and used not in MAY_USE[folder]:
                wrong.append(f"{file}:{number}: {folder}/ may not use {used}/")
    return wrong


def main() -> int:
    wrong = check(pathlib.Path(sys.argv[1]) / "daemon")
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
