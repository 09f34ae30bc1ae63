#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
What a request costs before anything is done, on a machine with very many blocks: reading them
and planning, in relation to lsmem(1) on the same made-up tree.

    meson test --benchmark plan
    tests/bench/plan.py MEMUNPLUGD SOURCE BUILD 200000        another size
"""

import os
import shutil
import subprocess
import sys
import tempfile

BLOCKS = 65536                  # 8 TiB
DEVICE = 512                    # blocks of a DIMM, and of a node
RATIO_MAX = 2.0                 # processor time, of what lsmem takes
REFUSAL_MAX_USEC = 10000        # the planning of what cannot fit, for 65 536 blocks
FIXED_MAX = 20 << 20            # resident memory at its peak: this, which is mostly the planner's table,
BYTES_PER_BLOCK_MAX = 250       # and this for each block
RUNS = 2


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def make_tree(top, blocks):
    memory, nodes = top + "/sys/devices/system/memory", top + "/sys/devices/system/node"
    for path in memory, nodes, top + "/sys/bus/acpi/devices", top + "/proc":
        os.makedirs(path)
    write(memory + "/block_size_bytes", "8000000\n")
    for node in range((blocks + DEVICE - 1) // DEVICE):
        os.mkdir(f"{nodes}/node{node}")
        device = f"{top}/sys/bus/acpi/devices/PNP0C80:{node:02x}"
        os.mkdir(device)
        write(device + "/eject", "")
    write(nodes + "/has_cpu", "0\n")
    for i in range(blocks):
        path, node = f"{memory}/memory{i}", i // DEVICE
        os.mkdir(path)
        for name, text in ("state", "online\n"), ("removable", "1\n"), ("valid_zones", "Movable\n"):
            write(f"{path}/{name}", text)
        os.symlink(f"../../../../bus/acpi/devices/PNP0C80:{node:02x}", path + "/firmware_node")
        os.symlink(f"../../node/node{node}", f"{path}/node{node}")
        os.symlink(f"../../memory/memory{i}", f"{nodes}/node{node}/memory{i}")


def run(argv):
    """(output, processor seconds, peak of resident memory in bytes) of the cheapest of some runs."""
    best = None
    for _ in range(RUNS):
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            out = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit(f"{argv[0]} failed")
        seconds = usage.ru_utime + usage.ru_stime
        if best is None or seconds < best[1]:
            best = out, seconds, usage.ru_maxrss * 1024
    return best


def measure(program, blocks):
    top = tempfile.mkdtemp(prefix="memunplug-blocks-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    try:
        make_tree(top, blocks)
        _, lsmem, _ = run(["lsmem", "-b", "-a", "--sysroot", top])
        out, ours, peak = run([program, top, str(blocks // 3)])
        found, steps, read, planned, refused = map(int, out.split())
    finally:
        shutil.rmtree(top)
    assert (found, steps) == (blocks, blocks // 3), out
    ratio = ours / lsmem
    limit = FIXED_MAX + BYTES_PER_BLOCK_MAX * blocks
    good = ratio <= RATIO_MAX and peak <= limit and (refused <= REFUSAL_MAX_USEC or blocks > BLOCKS)
    print(f"{blocks} blocks: read in {read / 1000:.0f} ms, planned in {planned / 1000:.1f} ms, refused in "
          f"{refused / 1000:.1f} ms, {ratio:.2f}x of lsmem's processor time (limit {RATIO_MAX:.1f}), "
          f"{peak / 2**20:.1f} MiB at the peak (limit {limit / 2**20:.1f})"
          + ("" if good else ": TOO MUCH"), flush=True)
    return good


def main():
    program = os.path.join(sys.argv[3], "bench-plan")
    sizes = [int(n) for n in sys.argv[4:]] or [BLOCKS]
    return 0 if all([measure(program, n) for n in sizes]) else 1


sys.exit(main())
