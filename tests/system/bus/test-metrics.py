#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-metrics.py MEMUNPLUGD TOP MEMUNPLUGCTL: the figures as the example unit writes them, before and after a job, read by
promtool and by the collector of text files of a real node exporter ($PROMTOOL, $NODE_EXPORTER)."""
import os
import pathlib
import re
import shlex
import socket
import subprocess
import sys
import urllib.request

from machine import BLOCKS, PATIENCE, SIZE, TOP, Machine, needs, run_tests

CTL = str(pathlib.Path(sys.argv[3]).resolve())
UNIT = TOP / "units/examples/memunplug-metrics.service"
PROMTOOL, NODE_EXPORTER = (os.environ.get(name, "") for name in ("PROMTOOL", "NODE_EXPORTER"))


def write_figures(m):
    """Does what the unit does, in a folder of the test's own, which is returned."""
    folder = m.directory / "text files"
    folder.mkdir(exist_ok=True)
    program = m.directory / "memunplugctl"
    program.write_text(f"#!/bin/sh\nexec {shlex.quote(CTL)} --address={shlex.quote(str(m.directory))}/varlink \"$@\"\n")
    program.chmod(0o755)
    command, = re.findall("^ExecStart=(.*)$", UNIT.read_text(), re.M)
    subprocess.run(shlex.split(command), cwd=folder, check=True, timeout=PATIENCE,
                   env=os.environ | {"PATH": f"{m.directory}:{os.environ['PATH']}"})
    assert os.listdir(folder) == ["memunplug.prom"]
    return folder


def scrape(folder):
    """What a node exporter that looks into this folder alone tells."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = "127.0.0.1:%d" % free.getsockname()[1]
    with subprocess.Popen([NODE_EXPORTER, "--collector.disable-defaults", "--collector.textfile",
                           f"--collector.textfile.directory={folder}", f"--web.listen-address={address}"],
                          stderr=subprocess.PIPE, text=True) as exporter:
        try:
            for line in exporter.stderr:
                if "Listening on" in line:
                    break
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=PATIENCE) as page:
                return page.read().decode()
        finally:
            exporter.kill()


def test_both_read_them(m):
    for removed in 0, 1:
        if removed:
            subprocess.run([CTL, f"--address={m.directory}/varlink", "unplug", str(BLOCKS - 1)], check=True, timeout=PATIENCE)
        folder = write_figures(m)
        with open(folder / "memunplug.prom") as figures:
            lint = subprocess.run([PROMTOOL, "check", "metrics"], stdin=figures, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, check=False)
        assert (lint.returncode, lint.stdout) == (0, ""), lint.stdout
        page = scrape(folder)
        assert "\nnode_textfile_scrape_error 0\n" in page, page
        assert float(re.search("^memunplug_online_bytes (.*)$", page, re.M)[1]) == (BLOCKS - removed) * SIZE, page
        assert ("\nmemunplug_jobs{" in page) == bool(removed), page


needs("dbus-daemon", PROMTOOL or "promtool", NODE_EXPORTER or "prometheus-node-exporter")
PROMTOOL, NODE_EXPORTER = PROMTOOL or "promtool", NODE_EXPORTER or "prometheus-node-exporter"
run_tests(Machine(), [test_both_read_them])
