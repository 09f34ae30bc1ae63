#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-logind.py MEMUNPLUGD TOP: a small service in the place of systemd-logind says that the system is about to be
suspended or shut down: jobs under way are brought back, none starts, and the lock that delays it is let go."""
import os
import threading

from machine import PATIENCE, Machine, needs, needs_module, run_tests

jeepney = needs_module("jeepney.io.blocking", "python3-jeepney")

NAME, PATH, INTERFACE = "org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager"
# One by one: of a service that is not root's, logind takes no lock for both at once.
LOCKS = [("Inhibit", what, "memunplug", "Memory is being removed", "delay") for what in ("shutdown", "sleep")]
BUS_CONFIG = f"""<policy user="{os.geteuid()}"><allow own="{NAME}"/></policy>
<policy context="default"><allow send_destination="{NAME}"/></policy>"""


def say(connection, member, begins):
    emitter = jeepney.DBusAddress(PATH, interface=INTERFACE)
    connection.send(jeepney.new_signal(emitter, member, "b", (begins,)))


class Login1:
    """Owns the name, hands out locks and says what it is told to."""

    def __init__(self, machine, refuses=False):
        self.refuses, self.locks, self.asked, self.given = refuses, [], [], threading.Semaphore(0)
        self.bus = jeepney.io.blocking.open_dbus_connection(machine.address, enable_fds=True)
        reply = self.bus.send_and_get_reply(jeepney.DBus().RequestName(NAME))
        assert reply.body == (1,), reply
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        try:
            while True:
                message = self.bus.receive()
                if message.header.message_type == jeepney.MessageType.method_call:
                    self.answer(message)
        except (OSError, EOFError, ConnectionError):
            pass                    # closed at the end of a test

    def answer(self, call):
        self.asked.append((call.header.fields[jeepney.HeaderFields.member], *call.body))
        if self.refuses or ":" in call.body[0]:
            self.bus.send(jeepney.new_error(call, "org.freedesktop.DBus.Error.AccessDenied", "s", ("no",)))
        else:
            reading, writing = os.pipe()
            self.locks.append(reading)
            self.bus.send(jeepney.new_method_return(call, "h", (writing,)))
            os.close(writing)
        self.given.release()

    def wait_for_calls(self):
        """One for each way to leave."""
        for _ in LOCKS:
            assert self.given.acquire(timeout=PATIENCE), "no lock was asked for"

    def wait_until_free(self):
        """Until both locks are let go."""
        while self.locks:
            reading = self.locks.pop()
            os.set_blocking(reading, True)
            waiting = threading.Thread(target=os.read, args=(reading, 1), daemon=True)
            waiting.start()
            waiting.join(PATIENCE)
            assert not waiting.is_alive(), "a lock is held"
            os.close(reading)

    def end(self):
        self.bus.close()


def start_job(m):
    """One that waits for a hook: its number."""
    reply = m.manager("Unplug", "tatsa{sv}", "0", "2", "14", "15", "", "0")
    assert isinstance(reply, list), reply
    m.wait_for_state(reply[0], "planning")
    return reply[0]


def bring_back(m):
    """As the kernel would show it."""
    for block in 14, 15:
        m.put(f"sys/devices/system/memory/memory{block}/state", "online\n")


def job(m, number):
    return m.varlink("ListJobs", {"id": number})[0]["job"]


def test_nobody_there(m):
    """Nothing is waited for, and nobody is started."""
    m.hold_jobs()
    number = start_job(m)
    m.release_job()
    m.wait_for_state(number, "done")
    bring_back(m)


def interrupted_by(m, member, reason):
    login = Login1(m)
    number = start_job(m)
    login.wait_for_calls()
    assert login.asked == LOCKS, login.asked
    say(login.bus, member, True)
    m.wait_for_state(number, "cancelled")
    assert job(m, number)["reason"] == reason, job(m, number)
    login.wait_until_free()
    refused = m.manager("Unplug", "tatsa{sv}", "0", "2", "14", "15", "", "0")
    assert reason in refused, refused
    say(login.bus, member, False)
    for _ in range(100):            # the signal and the next call come by the same bus, but from two senders
        reply = m.manager("Unplug", "tatsa{sv}", "0", "2", "14", "15", "", "0")
        if isinstance(reply, list):
            break
    m.wait_for_state(reply[0], "planning")
    login.wait_for_calls()
    m.release_job()
    m.wait_for_state(reply[0], "done")
    login.wait_until_free()
    bring_back(m)
    login.end()


def test_sleep(m):
    interrupted_by(m, "PrepareForSleep", "the system is about to be suspended")


def test_shutdown(m):
    interrupted_by(m, "PrepareForShutdown", "the system is about to be shut down")


def test_no_lock(m):
    """Who gets none works all the same, and asks once for each job."""
    login = Login1(m, refuses=True)
    for asked in 1, 2:
        number = start_job(m)
        login.wait_for_calls()
        m.release_job()
        m.wait_for_state(number, "done")
        bring_back(m)
        assert len(login.asked) == asked * len(LOCKS), login.asked
    login.end()


def test_a_stranger(m):
    """Only the owner of the name is believed."""
    login = Login1(m)
    stranger = jeepney.io.blocking.open_dbus_connection(m.address)
    number = start_job(m)
    say(stranger, "PrepareForShutdown", True)
    stranger.send_and_get_reply(jeepney.DBus().GetId())         # the bus has passed on what came before
    m.manager("Describe")                                       # and the daemon has seen it
    assert job(m, number)["state"] == "planning"
    m.release_job()
    m.wait_for_state(number, "done")
    bring_back(m)
    stranger.close()
    login.end()


needs("dbus-daemon", "busctl")
run_tests(Machine(bus_config=BUS_CONFIG), [test_nobody_there, test_sleep, test_shutdown, test_a_stranger, test_no_lock])
