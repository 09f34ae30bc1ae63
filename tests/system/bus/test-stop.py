#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-stop.py MEMUNPLUGD TOP: the daemon is stopped while clients wait for a job: each is told its end before the
connection goes, on Varlink and on the bus. Who does not read holds up nothing."""
import json
import signal
import socket

from machine import PATIENCE, SIZE, Machine, needs, run_tests

REASON = "the service is being stopped"
STATUS = b'{"method":"org.memunplug.GetStatus"}\0'
FILLING = 5000          # calls without reading an answer: more than a socket and the daemon's own queue hold


class Client:
    """A connection on which one call with "more" is under way."""

    def __init__(self, m, method, **parameters):
        self.data = b""
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(f"{m.directory}/varlink")
        call = {"method": f"org.memunplug.{method}", "parameters": parameters, "more": True}
        self.socket.sendall(json.dumps(call).encode() + b"\0")

    def reply(self):
        while b"\0" not in self.data:
            piece = self.socket.recv(65536)
            if not piece:
                raise EOFError(self.data)
            self.data += piece
        first, self.data = self.data.split(b"\0", 1)
        return json.loads(first)

    def until(self, wanted):
        """The first reply of which this is true."""
        while not wanted(reply := self.reply()):
            pass
        return reply

    def is_at_end(self):
        """Nothing is left, and nothing comes."""
        return not self.data and not self.socket.recv(1)

    def close(self):
        self.socket.close()


def with_job(state):
    return lambda reply: reply["parameters"].get("job", {}).get("state") == state


def test_all_are_told_the_end(m):
    for _ in range(3):
        signals = m.monitor()
        watchers = [Client(m, "Monitor") for _ in range(5)]
        asker = Client(m, "Unplug", blocks=[14, 15])
        for client in (asker, *watchers):
            number = client.until(with_job("planning"))["parameters"]["job"]["id"]
        assert m.stop() == 0
        last = asker.until(lambda reply: not reply.get("continues"))["parameters"]["job"]
        assert (last["state"], last["reason"]) == ("cancelled", REASON), last
        for client in watchers:
            assert client.until(with_job("cancelled"))["parameters"]["job"] == last
        for client in (asker, *watchers):
            assert client.is_at_end()
            client.close()
        told = signals.until("InterfacesRemoved")
        assert told[-2][0] == "JobRemoved" and told[-2][2][0::2] == [number, "cancelled"], told
        states = [data[1]["State"]["data"] for member, path, data in told
                  if member == "PropertiesChanged" and "State" in data[1]]
        assert states[-1] == "cancelled", told
        signals.end()
        m.start()


def fill(m):
    """A connection full of answers that nobody has read."""
    s = socket.socket(socket.AF_UNIX)
    s.connect(f"{m.directory}/varlink")
    s.setblocking(False)
    try:
        for _ in range(FILLING):
            s.send(STATUS)
            m.varlink("GetStatus")      # the daemon has looked at it
    except BlockingIOError:
        return s
    raise AssertionError("it takes everything")


def test_who_reads_late_gets_the_rest(m):
    s = fill(m)
    m.daemon.send_signal(signal.SIGTERM)
    s.settimeout(PATIENCE)
    data = b""
    try:
        while piece := s.recv(65536):
            data += piece
    except ConnectionResetError:        # it had sent calls that the daemon did not read any more
        pass
    assert m.daemon.wait(PATIENCE) == 0
    messages = data.split(b"\0")
    assert messages.pop() == b"", "cut off in the middle of an answer"
    assert all(json.loads(message)["parameters"]["blockSizeBytes"] == SIZE for message in messages)
    s.close()
    m.start()


def test_who_never_reads_is_not_waited_for(m):
    s = fill(m)
    assert m.stop() == 0                # within PATIENCE
    s.close()
    m.start()


class Holding(Machine):
    def make_tree(self):
        super().make_tree()
        self.hold_jobs()


needs("dbus-daemon", "busctl")
run_tests(Holding(), [value for name, value in list(globals().items()) if name.startswith("test_")])
