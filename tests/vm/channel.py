# SPDX-License-Identifier: GPL-2.0-or-later
#
# Talking with a guest: the agent's frames and QMP's messages, over two sockets and
# without threads. It owns the sockets and what has come in; starting and ending the
# machine behind them is machine.py's business.

import copy
import json
import re
import selectors
import struct
import time
from typing import NamedTuple

SPAWN, STDIN, SIGNAL = 1, 2, 3
HELLO, STARTED, STDOUT, STDERR, NOTIFY, EXIT, ERROR = range(16, 23)
SPAWN_NOTIFY, SPAWN_STDIN = 1, 2
CHUNK = 128 * 1024
HEADER = struct.Struct('<III')


class GuestError(Exception):
    """The guest, or the way to it, does not work."""


class GuestDied(GuestError):
    pass


class GuestTimeout(GuestError):
    pass


class QmpError(GuestError):
    def __init__(self, command, error):
        super().__init__('%s: %s' % (command, error.get('desc')))
        self.kind = error.get('class')


class Result(NamedTuple):
    rc: int
    out: str
    err: str


class Process:
    """A command in the guest. Output is collected whenever the host waits for anything."""

    def __init__(self, link, ident, name):
        self.link, self.ident, self.name = link, ident, name
        self.pid = self.status = None
        self.stdout, self.stderr = bytearray(), bytearray()
        self.notes = []
        self.on_line = None                     # called for each whole line of stdout, with the time it came
        self._lines_seen = 0                    # bytes of stdout given to on_line
        self._cursor = 0                        # bytes of stdout consumed by wait_line
        self.error = None

    @property
    def out(self):
        return self.stdout.decode(errors='replace')

    @property
    def err(self):
        return self.stderr.decode(errors='replace')

    def wait(self, timeout=60):
        """Until it has ended: Result."""
        self.link.wait(lambda: self.status is not None, timeout, 'the end of ' + self.name)
        return Result(self.status, self.out, self.err)

    def wait_line(self, pattern, timeout=60):
        """The next line of stdout that matches; lines before it are passed over."""
        def look():
            while True:
                end = self.stdout.find(b'\n', self._cursor)
                if end < 0:
                    return None
                line = self.stdout[self._cursor:end].decode(errors='replace')
                self._cursor = end + 1
                m = re.search(pattern, line)
                if m:
                    return m
        found = self.link.wait(lambda: look() or self.status is not None, timeout,
                               "'%s' from %s" % (pattern, self.name), lambda: self.err)
        if found is True:
            found = look()
        if not found:
            raise GuestError("%s ended with %d before it said '%s'\n%s%s"
                             % (self.name, self.status, pattern, self.out, self.err))
        return found

    def wait_note(self, word, timeout=60):
        """Until it has sent this assignment to the service manager."""
        def there():
            return any(word in note.splitlines() for note in self.notes)
        self.link.wait(lambda: there() or self.status is not None, timeout,
                       word + ' from ' + self.name, lambda: self.err)
        if not there():
            raise GuestError('%s ended with %d before %s\n%s%s'
                             % (self.name, self.status, word, self.out, self.err))

    def send(self, data, close=False):
        data = data.encode() if isinstance(data, str) else data
        for i in range(0, len(data), CHUNK):
            self.link.send_frame(self.ident, STDIN, data[i:i + CHUNK])
        if close:
            self.link.send_frame(self.ident, STDIN, b'')

    def signal(self, signo):
        self.link.send_frame(self.ident, SIGNAL, struct.pack('<I', signo))

    def on(self, link):
        """The same, where a saved state of its guest goes on."""
        other = copy.copy(self)
        other.link, other.on_line = link, None
        other.stdout, other.stderr, other.notes = bytearray(self.stdout), bytearray(self.stderr), list(self.notes)
        return other

    def _take(self, kind, payload):
        if kind == STDOUT:
            self.stdout += payload
            self._give_lines()
        elif kind == STDERR:
            self.stderr += payload
        elif kind == STARTED:
            self.pid, = struct.unpack('<I', payload)
        elif kind == NOTIFY:
            self.notes.append(payload.decode(errors='replace'))
        elif kind == EXIT:
            self.status, = struct.unpack('<I', payload)
        elif kind == ERROR:
            self.error = payload.decode(errors='replace')
            self.stderr += b'agent: ' + payload + b'\n'
            if self.pid is None:
                self.status = 125

    def _give_lines(self):
        while self.on_line:
            end = self.stdout.find(b'\n', self._lines_seen)
            if end < 0:
                return
            line = self.stdout[self._lines_seen:end].decode(errors='replace')
            self._lines_seen = end + 1
            self.on_line(line, time.monotonic())


class Link:
    """Both sockets of a guest. `deadline`: when all waiting ends; describe(): what to say when it died."""

    def __init__(self, agent, qmp, deadline, describe):
        self.agent, self.qmp_socket = agent, qmp
        self.deadline, self.describe = deadline, describe
        self.processes, self.events, self.replies = {}, [], {}
        self.hello = self.greeting = self.negotiated = self.closed = False
        self._next_id = 1
        self._agent_buffer, self._qmp_buffer = bytearray(), bytearray()
        self.selector = selectors.DefaultSelector()
        for sock, take in ((agent, self._take_agent), (qmp, self._take_qmp)):
            sock.setblocking(False)
            self.selector.register(sock, selectors.EVENT_READ, take)

    def forget(self):
        """The agent and all its processes end: what came from them so far is taken in first."""
        self.drain()
        self._agent_buffer.clear()
        self.processes.clear()
        self.hello = False

    def go_on(self, other):
        """Before the first frame: goes on where another guest's link ended, with its processes."""
        self.hello, self._next_id = True, other._next_id
        self._agent_buffer += other._agent_buffer
        self.processes = {ident: process.on(self) for ident, process in other.processes.items()}

    def drain(self):
        """Takes in all that is there."""
        while not self.closed and self.selector.select(0):
            self.pump(0)

    def close(self):
        self.closed = True
        self.selector.close()
        self.agent.close()
        self.qmp_socket.close()

    def wait(self, ready, timeout, what, detail=None):
        """Takes in what comes until ready() is true; gives its value."""
        end = min(time.monotonic() + timeout, self.deadline)
        while True:
            value = ready()
            if value:
                return value
            if self.closed:
                raise GuestDied('the guest ended while waiting for %s\n%s' % (what, self.describe()))
            left = end - time.monotonic()
            if left <= 0:
                text = 'no %s within %g s' % (what, timeout)
                if end == self.deadline:
                    text = "the guest's time is over, while waiting for " + what
                raise GuestTimeout(text + ('\n' + detail() if detail else ''))
            self.pump(left)

    def pump(self, timeout):
        """Takes in what is there, or comes within the time."""
        for key, _ in self.selector.select(timeout):
            try:
                data = key.fileobj.recv(1 << 20)
            except BlockingIOError:
                continue
            except ConnectionError:
                data = b''
            if not data:
                self.closed = True
                return
            key.data(data)

    def _take_agent(self, data):
        buffer = self._agent_buffer
        buffer += data
        while len(buffer) >= HEADER.size:
            length, ident, kind = HEADER.unpack_from(buffer)
            if len(buffer) < HEADER.size + length:
                break
            payload = bytes(buffer[HEADER.size:HEADER.size + length])
            del buffer[:HEADER.size + length]
            if kind == HELLO:
                self.hello = True
            elif ident in self.processes:
                self.processes[ident]._take(kind, payload)

    def _take_qmp(self, data):
        self._qmp_buffer += data
        while True:
            end = self._qmp_buffer.find(b'\n')
            if end < 0:
                return
            message = json.loads(bytes(self._qmp_buffer[:end]))
            del self._qmp_buffer[:end + 1]
            if 'event' in message:
                message['monotonic'] = time.monotonic()
                self.events.append(message)
            elif 'QMP' in message:
                self.greeting = True
            else:
                self.replies[message.get('id')] = message

    def _send(self, sock, data):
        view = memoryview(data)
        sock.setblocking(True)                  # both peers always read
        sock.settimeout(max(1, min(30, self.deadline - time.monotonic())))
        try:
            sock.sendall(view)
        except (ConnectionError, TimeoutError) as error:
            raise GuestDied('cannot send to the guest: %s\n%s' % (error, self.describe())) from error
        finally:
            sock.setblocking(False)

    def send_frame(self, ident, kind, payload):
        self._send(self.agent, HEADER.pack(len(payload), ident, kind) + payload)

    def spawn(self, argv, notify=False, stdin=False):
        ident = self._next_id
        self._next_id += 1
        process = Process(self, ident, argv[-1] if argv[0] == '/bin/sh' else argv[0])
        self.processes[ident] = process
        flags = (SPAWN_NOTIFY if notify else 0) | (SPAWN_STDIN if stdin else 0)
        self.send_frame(ident, SPAWN, struct.pack('<I', flags) + b''.join(a.encode() + b'\0' for a in argv))
        return process

    def qmp(self, command, arguments=None, timeout=30):
        if not self.negotiated:
            self.wait(lambda: self.greeting, timeout, "QMP's greeting")
            self.negotiated = True
            self._qmp_call('qmp_capabilities', {}, timeout)
        return self._qmp_call(command, arguments or {}, timeout)

    def _qmp_call(self, command, arguments, timeout):
        ident = self._next_id
        self._next_id += 1
        self._send(self.qmp_socket, json.dumps({'execute': command, 'arguments': arguments, 'id': ident}).encode())
        self.wait(lambda: ident in self.replies, timeout, 'the answer to ' + command)
        reply = self.replies.pop(ident)
        if 'error' in reply:
            raise QmpError(command, reply['error'])
        return reply['return']

    def wait_event(self, name, timeout=60, since=0, match=None):
        """The first QMP event of this name from number `since` on whose data match."""
        def look():
            for event in self.events[since:]:
                if event['event'] == name and (match is None or match(event.get('data', {}))):
                    return event
            return None
        return self.wait(look, timeout, 'event ' + name)
