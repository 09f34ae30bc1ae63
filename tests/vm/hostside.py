# SPDX-License-Identifier: GPL-2.0-or-later
#
# The hypervisor's end of the virtio-serial port: a chardev socket of QEMU, the real
# varlinkctl of Debian 13 on it, run here, and raw bytes. It owns what it starts.

import json
import os
import re
import select
import shlex
import socket
import subprocess
import time

import image
from channel import GuestTimeout

PORT = 'org.memunplug.0'
PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../docs/HYPERVISORS.md')
PAGE_SOCKET = '/run/vm1/memunplug.sock'         # the socket in the page's examples


def devices(path, port=True):
    """QEMU arguments: a controller of its own with the chardev, and the port if it is to be there at boot."""
    return ['-device', 'virtio-serial-pci,id=channel',
            '-chardev', 'socket,id=memunplug,path=%s,server=on,wait=off' % path,
            *(['-device', 'virtserialport,bus=channel.0,chardev=memunplug,id=port,name=' + PORT] if port else [])]


def plug_port(guest):
    guest.qmp('device_add', driver='virtserialport', bus='channel.0', chardev='memunplug', id='port', name=PORT)


def example(method):
    """The command of docs/HYPERVISORS.md that calls this method: list of arguments."""
    with open(PAGE) as f:
        text = f.read()
    return shlex.split(re.search(r'^(varlinkctl call .*org\.memunplug\.%s .*)$' % method, text, re.M)[1])


class Host:
    """What the hypervisor's side does on the socket at path."""

    def __init__(self, path):
        self.path = path
        self.varlinkctl = image.varlinkctl()

    def argv(self, example):
        """An example's arguments for this socket, by Debian 13's varlinkctl with its own loader and libraries."""
        rest = [self.path if a == PAGE_SOCKET else a for a in example[1:]]
        return [*self.varlinkctl, '-j', *rest]

    def run(self, example, timeout=60):
        """Runs it to its end: (exit status, replies, what it says on standard error)."""
        r = subprocess.run(self.argv(example), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=timeout)
        return r.returncode, _replies(r.stdout), r.stderr

    def call(self, method, parameters=None, more=False):
        """A call that must succeed: the reply's parameters, or with more all of them."""
        argv = ['varlinkctl', 'call', *(['--more'] if more else []), PAGE_SOCKET, 'org.memunplug.' + method,
                json.dumps(parameters or {})]
        rc, replies, said = self.run(argv)
        if rc:
            raise AssertionError('%s: exit status %d, %s' % (method, rc, said))
        return replies if more else replies[0]

    def stream(self, example):
        return Stream(self.argv(example))

    def connect(self):
        return Raw(self.path)


def _replies(text):
    return [json.loads(part) for part in re.split(r'[\x1e\n]+', text) if part.strip()]


class Stream:
    """A running varlinkctl whose replies come as they come."""

    def __init__(self, argv):
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.text, self.seen = '', 0

    def wait(self, match, timeout=60):
        """The next reply for which match() is true."""
        end = time.monotonic() + timeout
        while True:
            lines = self.text.split('\n')[:-1]
            while self.seen < len(lines):
                line = lines[self.seen].strip('\x1e')
                self.seen += 1
                if line and match(json.loads(line)):
                    return json.loads(line)
            fd = self.process.stdout.fileno()
            if not select.select([fd], [], [], max(0, end - time.monotonic()))[0]:
                raise GuestTimeout('no such reply within %g s: %s' % (timeout, self.text[-500:]))
            data = os.read(fd, 65536)
            if not data:
                raise AssertionError('varlinkctl ended with %d: %s' % (self.process.wait(), self.text[-500:]))
            self.text += data.decode()

    def end(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


class Raw:
    """Bytes, as no client would send them."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.buffer = b''

    def send(self, data):
        self.socket.sendall(data)

    def call(self, method, more=False):
        self.send(json.dumps({'method': method, 'more': more}).encode() + b'\0')

    def take(self, timeout=60):
        """The next message; None: there is none within the time."""
        end = time.monotonic() + timeout
        while b'\0' not in self.buffer:
            if not select.select([self.socket], [], [], max(0, end - time.monotonic()))[0]:
                return None
            data = self.socket.recv(65536)
            if not data:
                raise AssertionError('QEMU closed the socket')
            self.buffer += data
        message, self.buffer = self.buffer.split(b'\0', 1)
        return json.loads(message)

    def close(self):
        self.socket.close()
