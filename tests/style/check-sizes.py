#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Budgets for reading: lines per file, lines per function, columns. Going over is a reason to talk, and then an
entry in ALLOWED with the reason."""
import pathlib
import re
import statistics
import sys

FILE_LINES, HEADER_LINES, FUNCTION_LINES, COLUMNS = 500, 100, 60, 109
# path below the top -> why it may be longer
ALLOWED = {
    "kmod/memunplug.h": "kernel-doc of what the files of the module offer each other",
    "kmod/memunplug_trace.h": "tracepoints have a layout of their own",
    "kmod/include/uapi/linux/memunplug.h": "the whole contract on one page, with its prose",
    "kmod/include/uapi/linux/memunplug_balloon.h": "the same",
}
START = re.compile(r"^[A-Za-z_].*\)\s*\{$|^\{$")


def functions(lines: list[str]):
    """(first line number, length) of each function: from the line with its brace to the brace in column 1."""
    start = None
    for number, line in enumerate(lines, 1):
        if start is None and START.match(line) and "=" not in line:
            start = number
        elif start is not None and line.startswith("}"):
            if line.rstrip() == "}":
                yield start, number - start + 1
            start = None


def check(top: pathlib.Path) -> list[str]:
    wrong = []
    by_folder = {}
    files = [f for d in ("daemon", "kmod") for f in sorted((top / d).rglob("*.[ch]")) if not f.name.endswith(".mod.c")]
    for file in files:
        name = str(file.relative_to(top))
        lines = file.read_text().splitlines()
        limit = HEADER_LINES if file.suffix == ".h" else FILE_LINES
        if len(lines) > limit and name not in ALLOWED:
            wrong.append(f"{name}: {len(lines)} lines, budget {limit}")
        for number, line in enumerate(lines, 1):
            if len(line.expandtabs(8)) > COLUMNS:
                wrong.append(f"{name}:{number}: {len(line.expandtabs(8))} columns, budget {COLUMNS}")
        for number, length in functions(lines):
            by_folder.setdefault(str(file.parent.relative_to(top)), []).append(length)
            if length > FUNCTION_LINES:
                wrong.append(f"{name}:{number}: function of {length} lines, budget {FUNCTION_LINES}")
    for folder, lengths in sorted(by_folder.items()):
        print(f"# {folder}: {len(lengths)} functions, median {statistics.median(lengths):.0f} lines")
        if statistics.median(lengths) > 20:
            wrong.append(f"{folder}: median function above 20 lines")
    return wrong


def main() -> int:
    wrong = check(pathlib.Path(sys.argv[1]))
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
