# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs memunplugctl, with pipes or on a terminal, and counts tests in TAP."""
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
import traceback

PROGRAM = sys.argv[1] if len(sys.argv) > 1 else "memunplugctl"
TIMEOUT = 30

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "TERM": "xterm", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
ENVIRONMENT.update({k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")})


class Result:
    def __init__(self, code, out, err=""):
        self.code, self.out, self.err = code, out, err


def run(service, *arguments, env=None, address=None):
    """With pipes: standard output and error apart."""
    where = service.address if address is None else address
    done = subprocess.run([PROGRAM, "--address=" + where, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                          env=ENVIRONMENT | (env or {}), timeout=TIMEOUT)
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


class Pty:
    """A command on a terminal of its own, as people see it: what it writes, in order, and keys."""

    def __init__(self, *command, env=None, columns=100, rows=24):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=ENVIRONMENT | (env or {}), start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.text = ""

    def _read(self, timeout):
        if not select.select([self.master], [], [], timeout)[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:         # EIO: the other side is closed
            data = b""
        self.text += data.decode(errors="replace")
        return bool(data)

    def until(self, text):
        """Reads until the text has come."""
        end = time.monotonic() + TIMEOUT
        while text not in self.text:
            if time.monotonic() > end or not self._read(1) and self.process.poll() is not None:
                raise AssertionError(f"{text!r} did not come, but {self.text!r}")

    def key(self, key):
        os.write(self.master, key)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def end(self):
        end = time.monotonic() + TIMEOUT
        while self._read(0.1) or self.process.poll() is None:
            if time.monotonic() > end:
                self.process.kill()
                raise AssertionError(f"it does not end: {self.text!r}")
        code = self.process.wait(TIMEOUT)
        os.close(self.master)
        return Result(code, self.text)


class Terminal(Pty):
    """The program on one."""

    def __init__(self, service, *arguments, **more):
        super().__init__(PROGRAM, "--address=" + service.address, *arguments, **more)


def program_help(program):
    done = subprocess.run([program, "--help"], capture_output=True, text=True, env=ENVIRONMENT, timeout=TIMEOUT)
    equal(done.returncode, 0)
    return done.stdout


def verbs():
    """As its help names them."""
    commands = program_help(PROGRAM).split("Commands:\n")[1].split("\n\n")[0]
    return re.findall(r"^  (\w+)", commands, re.M)


class Skip(Exception):
    pass


def main(tests):
    """Runs functions, prints TAP."""
    print(f"1..{len(tests)}")
    failed = 0
    for number, test in enumerate(tests, 1):
        name = test.__name__.removeprefix("test_")
        try:
            test()
            print(f"ok {number} {name}")
        except Skip as reason:
            print(f"ok {number} {name} # SKIP {reason}")
        except Exception:       # whatever it is, the others still run
            failed += 1
            print(f"not ok {number} {name}")
            print("".join("# " + line + "\n" for line in traceback.format_exc().splitlines()), end="")
        sys.stdout.flush()
    return 1 if failed else 0


def equal(found, wanted):
    if found != wanted:
        raise AssertionError(f"\n--- found\n{found}\n--- wanted\n{wanted}")


def contains(found, *wanted):
    for text in wanted:
        if text not in found:
            raise AssertionError(f"{text!r} is not in\n{found}")
