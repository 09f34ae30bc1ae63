# SPDX-License-Identifier: GPL-2.0-or-later
#
# The package's own tests by Debian's autopkgtest, in a guest where it is installed. It
# owns the socket by which autopkgtest-virt-guest has commands run, one at a time; what
# is tested, and when that is a success, are the package's and autopkgtest's.

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile

import product
from channel import GuestError

SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'autopkgtest-virt-guest')
CHUNK = 1 << 16
PATIENCE = ['--timeout-%s=900' % what for what in ('short', 'copy', 'install', 'test')]


class _Command:
    """One command in the guest, with the standard files of whoever asked for it."""

    def __init__(self, guest, connection):
        message, self.files, _, _ = socket.recv_fds(connection, 1 << 20, 3)
        self.link, self.connection = guest.link, connection
        self.process = guest.spawn(json.loads(message), stdin=True)
        self.given = {1: 0, 2: 0}               # bytes of its output passed on

    def _take_input(self):
        data = os.read(self.files[0], CHUNK)
        self.process.send(data, close=not data)
        return bool(data)

    def _give_output(self):
        for number, output in ((1, self.process.stdout), (2, self.process.stderr)):
            while self.given[number] < len(output):
                self.given[number] += os.write(self.files[number], output[self.given[number]:])

    def run(self):
        """Until it has ended; it is killed when who asked for it goes."""
        sockets = [self.link.agent, self.link.qmp_socket]
        waiting = [self.files[0], self.connection]
        while self.process.status is None:
            ready, _, _ = select.select(sockets + waiting, [], [])
            if self.files[0] in ready and not self._take_input():
                waiting.remove(self.files[0])
            if self.connection in ready:
                self.process.signal(signal.SIGKILL)
                waiting.remove(self.connection)
            self.link.pump(0)
            if self.link.closed:
                raise GuestError('the guest has gone')
            self._give_output()
        self.connection.send(json.dumps(self.process.status).encode())

    def close(self):
        for number in self.files:
            os.close(number)


def _serve(guest, listener, runner):
    """Runs commands in the guest until the runner has ended."""
    ended = os.pidfd_open(runner.pid)
    try:
        while ended not in select.select([listener, ended], [], [])[0]:
            connection, _ = listener.accept()
            with connection:
                command = _Command(guest, connection)
                try:
                    command.run()
                finally:
                    command.close()
    finally:
        os.close(ended)


def run(guest):
    """The tests in debian/tests of the package that is installed there: (autopkgtest's exit status, what it printed)."""
    with tempfile.TemporaryDirectory(prefix='memunplug-autopkgtest-') as work, \
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        source, address = os.path.join(work, 'memunplug'), os.path.join(work, 'socket')
        shutil.copytree(os.path.join(product.TOP, 'debian'), os.path.join(source, 'debian'))
        with open(os.path.join(source, 'debian', 'files'), 'w'):
            pass                                # a tree that was built: nothing to unpack or compile with in the guest
        listener.bind(address)
        listener.listen()
        with open(os.path.join(work, 'log'), 'w+', encoding='utf-8', errors='replace') as log, \
                subprocess.Popen(['autopkgtest', *PATIENCE, '--no-built-binaries', source, '--',
                                  SERVER, address], stdin=subprocess.DEVNULL, stdout=log, stderr=log) as runner:
            try:
                _serve(guest, listener, runner)
            finally:
                runner.kill()
            log.seek(0)
            return runner.wait(), log.read()
