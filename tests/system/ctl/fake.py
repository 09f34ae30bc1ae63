# SPDX-License-Identifier: GPL-2.0-or-later
"""A Varlink service that says what a test tells it to. It owns the socket and the calls it was sent; what a right
answer is, is the test's."""
import json
import os
import queue
import socket
import tempfile
import threading


class Close(Exception):
    """Raised by a script: hang up."""


class Call:
    """One call of a client. Scripts answer it as they please, rightly or not."""

    def __init__(self, service, connection, message):
        self.service = service
        self.connection = connection
        self.message = message
        self.method = message["method"].rsplit(".", 1)[1]
        self.parameters = message.get("parameters", {})
        self.more = message.get("more", False)

    def raw(self, data):
        self.connection.sendall(data)

    def reply(self, parameters=None, continues=False):
        message = {}
        if parameters is not None:
            message["parameters"] = parameters
        if continues:
            message["continues"] = True
        self.raw(json.dumps(message).encode() + b"\0")

    def stream(self, *replies):
        for number, parameters in enumerate(replies, 1):
            self.reply(parameters, continues=number < len(replies))

    def error(self, name, **parameters):
        self.raw(json.dumps({"error": name, "parameters": parameters}).encode() + b"\0")

    def wait(self, name):
        """Until the test, or another call's script, says so."""
        if not self.service.event(name).wait(30):
            raise Close

    def tell(self, name):
        self.service.event(name).set()

    def wait_gone(self):
        """Until the client has hung up."""
        self.connection.settimeout(30)
        while self.connection.recv(4096):
            pass
        raise Close


class Service:
    """with Service({"GetStatus": script}) as service: ... service.address, service.calls. A script is a function of
    the call."""

    def __init__(self, scripts):
        self.scripts = scripts
        self.calls = queue.Queue()
        self.events = {}
        self.lock = threading.Lock()

    def event(self, name):
        with self.lock:
            return self.events.setdefault(name, threading.Event())

    def messages(self):
        """All calls so far."""
        found = []
        while not self.calls.empty():
            found.append(self.calls.get())
        return found

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="memunplug-test-")
        self.address = os.path.join(self.directory.name, "socket")
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.address)
        self.listener.listen(16)
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)    # wakes the thread, which must not see the number used again
        self.thread.join(30)
        self.listener.close()
        self.directory.cleanup()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        data = b""
        with connection:
            try:
                while True:
                    while b"\0" not in data:
                        received = connection.recv(65536)
                        if not received:
                            return
                        data += received
                    text, data = data.split(b"\0", 1)
                    call = Call(self, connection, json.loads(text))
                    self.calls.put(call.message)
                    script = self.scripts.get(call.method)
                    if script:
                        script(call)
                    else:
                        call.error("org.varlink.service.MethodNotFound", method=call.message["method"])
            except (Close, OSError):
                return
