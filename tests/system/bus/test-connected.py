#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-connected.py MEMUNPLUGD TOP: the daemon is started by its client, as by "varlinkctl call exec:memunplugd": with
one connection in place of a socket to listen on. It serves that, opens no socket of its own, and closes what was passed
in under other names."""
import json
import os
import socket
import subprocess

from machine import PATIENCE, PROGRAM, SIZE, Machine, needs, run_tests

FIRST = 3           # SD_LISTEN_FDS_START
# The pid is known only once the process is there.
START = 'LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=varlink:stranger exec "$@"'


class Connected(Machine):
    def start(self):
        self.client, server = socket.socketpair()
        self.stranger, other = socket.socketpair()
        for s in (self.client, self.stranger):
            s.settimeout(PATIENCE)

        def pass_in():
            passed = [os.dup(s.fileno()) for s in (server, other)]     # away from where they are to be
            for i, fd in enumerate(passed):
                os.dup2(fd, FIRST + i)

        self.daemon = subprocess.Popen(
            ["sh", "-c", START, "sh", PROGRAM, f"--root={self.root}", f"--listen={self.directory}/varlink",
             "--device=", "--state=state"], env=os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": self.address},
            preexec_fn=pass_in, pass_fds=(FIRST, FIRST + 1))
        server.close()
        other.close()

    def ask(self, method, **parameters):
        self.client.sendall(json.dumps({"method": method, "parameters": parameters}).encode() + b"\0")
        data = b""
        while not data.endswith(b"\0"):
            piece = self.client.recv(65536)
            assert piece, "closed"
            data += piece
        return json.loads(data[:-1])


def test_the_connection_is_served(m):
    assert m.ask("org.memunplug.GetStatus")["parameters"]["blockSizeBytes"] == SIZE
    assert "org.memunplug" in m.ask("org.varlink.service.GetInfo")["parameters"]["interfaces"]
    assert m.ask("org.memunplug.Cancel", id=9)["error"] == "org.memunplug.NoSuchJob"    # its user is root or we


def test_nothing_else_is(m):
    assert m.stranger.recv(1) == b""
    assert not (m.directory / "varlink").exists()


needs("dbus-daemon")
run_tests(Connected(), [value for name, value in list(globals().items()) if name.startswith("test_")])
