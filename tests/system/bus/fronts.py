# SPDX-License-Identifier: GPL-2.0-or-later
"""The ways of asking the daemon, each with one ask(method, parameters): the answer in the words of org.memunplug, a dict,
a list, or {"error": name, "parameters": {...}}. None: it cannot be said this way. A Part has some of the keys only."""
import json
import os
import re
import socket
import subprocess

from machine import PATIENCE, needs_module
from port import talk

jeepney = needs_module("jeepney.io.blocking", "python3-jeepney")

STREAMS = {"ListBlocks": "block", "ListDevices": "device"}
JOB_METHODS = {"Unplug", "Replug", "Cancel"}
INVALID = "org.varlink.service.InvalidParameter"
CTL_VERBS = {"GetStatus": "status", "ListBlocks": "blocks", "ListDevices": "devices", "Plan": "plan",
             "Unplug": "unplug", "Replug": "replug", "Cancel": "cancel", "Explain": "explain", "Diagnose": "doctor"}


class Part(dict):
    pass


class Stream:
    """Varlink, on whatever carries it."""

    def ask(self, method, parameters):
        key = STREAMS.get(method, "job")
        is_list = method in STREAMS or method == "ListJobs" and not parameters
        replies = talk(self.fd, f"org.memunplug.{method}", parameters, more=is_list)
        if "error" in replies[-1]:
            assert len(replies) == 1, replies
            return replies[0]
        replies = [reply["parameters"] for reply in replies]
        if is_list:
            assert replies == [{}] or all(set(reply) == {key} for reply in replies), replies
            return [reply[key] for reply in replies if reply]
        assert len(replies) == 1, replies
        return replies[0]["job"] if method in JOB_METHODS or method == "ListJobs" else replies[0]


class Varlink(Stream):
    caller = f"uid {os.geteuid()}"

    def __init__(self, machine):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(f"{machine.directory}/varlink")
        self.fd = self.socket.fileno()

    def end(self):
        self.socket.close()


class Port(Stream):
    caller = "hypervisor"

    def __init__(self, machine):
        self.fd = machine.host

    def end(self):
        pass


class Bus:
    """D-Bus with the types that the values have, right or wrong, by a client that is not sd-bus."""
    caller = f"uid {os.geteuid()}"
    ERRORS = {"org.freedesktop.DBus.Error.InvalidArgs": INVALID,
              "org.freedesktop.DBus.Error.AccessDenied": "org.varlink.service.PermissionDenied"}

    def __init__(self, machine):
        self.bus = jeepney.io.blocking.open_dbus_connection(machine.address, auth_timeout=PATIENCE)

    def end(self):
        self.bus.close()

    def call(self, member, signature="", body=(), interface="org.memunplug1.Manager", path="/org/memunplug1"):
        """The reply's values, or the error as a dict."""
        address = jeepney.DBusAddress(path, "org.memunplug1", interface)
        reply = self.bus.send_and_get_reply(
            jeepney.new_method_call(address, member, signature or None, tuple(body)), timeout=PATIENCE)
        if reply.header.message_type == jeepney.MessageType.error:
            name = reply.header.fields[jeepney.HeaderFields.error_name]
            return {"error": self.ERRORS.get(name, name.replace("org.memunplug1.", "org.memunplug.")),
                    "text": reply.body[0]}
        return reply.body

    def properties(self, path, interface):
        values, = self.call("GetAll", "s", (interface,), "org.freedesktop.DBus.Properties", path)
        return {name: value for name, (_, value) in values.items()}

    @staticmethod
    def typed(value, natural):
        """The value with the type that the interface has for it if that can hold it, else with its own."""
        fits = {"t": range(2**64), "u": range(2**32)}.get(natural, ())
        if type(value) is int:
            return natural if value in fits else "t" if value >= 0 else "x", value
        if type(value) is list and all(type(item) is int and 0 <= item < 2**64 for item in value):
            return "at", value
        if type(value) is list:
            return "as", [str(item) for item in value]
        return {bool: "b", str: "s", float: "d"}[type(value)], value

    def demand(self, method, parameters):
        given = {key: value for key, value in parameters.items() if value is not None}
        target = [self.typed(given.pop(key, nothing), natural) for key, nothing, natural in
                  (("sizeBytes", 0, "t"), ("blocks", [], "at"), ("device", "", "s"))]
        options = {re.sub("[A-Z]", lambda m: "_" + m[0].lower(), key): self.typed(value, "u" if key == "node" else "t")
                   for key, value in given.items()}
        signature = "".join(kind for kind, _ in target) + "a{sv}"
        answer = self.call(method, signature, [value for _, value in target] + [options])
        if isinstance(answer, dict):
            return answer
        if method == "Plan":
            return json.loads(answer[0])
        number, path = answer
        assert path == f"/org/memunplug1/job/_{number}", answer
        return Part(id=number)

    def jobs(self):
        """The typed list, with each job as its text has it."""
        jobs = []
        for number, source, state, path in self.call("ListJobs")[0]:
            job = json.loads(self.call("DescribeJob", "u", (number,))[0])
            final = state in ("done", "partial", "failed", "cancelled")
            assert (job["source"], job["state"]) == (source, state), job
            assert path == ("/" if final else f"/org/memunplug1/job/_{number}"), path
            jobs.append(job)
        return jobs

    def ask(self, method, parameters):
        if method in ("Plan", "Unplug", "Replug"):
            return self.demand(method, parameters)
        if method == "ListJobs" and not parameters:
            return self.jobs()
        member = {"GetStatus": "Describe", "ListJobs": "DescribeJob"}.get(method, method)
        typed = [self.typed(value, "u") for value in parameters.values() if value is not None]
        answer = self.call(member, "".join(kind for kind, _ in typed), [value for _, value in typed])
        if isinstance(answer, dict):
            return answer
        return Part() if method == "Cancel" else json.loads(answer[0])


class Ctl:
    """memunplugctl --json. What it refuses by itself is answered with the error alone, as a Part."""
    caller = f"uid {os.geteuid()}"

    def __init__(self, machine, program):
        self.command = [program, f"--address={machine.directory}/varlink", "--json=short"]

    def end(self):
        pass

    @staticmethod
    def what(parameters):
        """WHAT as people write it, and what is left of the parameters."""
        rest = {key: value for key, value in parameters.items() if value is not None}
        size, blocks, device, node = (rest.pop(key, None) for key in ("sizeBytes", "blocks", "device", "node"))
        if [size, blocks, device].count(None) < 2 or node is not None and (blocks or device) or \
                any(number is not None and not (type(number) is int and number >= 0) for number in (size, node)) or \
                type(device) not in (str, type(None)) or \
                blocks is not None and not (type(blocks) is list and all(type(b) is int for b in blocks)):
            return None, rest
        if blocks is not None:
            return ",".join(map(str, blocks)), rest
        parts = ([f"{size}B"] if size is not None else []) + ([f"node:{node}"] if node is not None else [])
        return device if device is not None else "@".join(parts) or None, rest

    def arguments(self, method, parameters):
        if method in ("Plan", "Unplug", "Replug"):
            what, rest = self.what(parameters)
            deadline, partial = rest.pop("deadlineUsec", None), rest.pop("allowPartial", None)
            if what is None or rest or type(deadline) not in (int, type(None)) or partial not in (True, None) or \
                    partial == 1 and partial is not True:
                return None
            return [*([] if method == "Plan" else ["--no-wait"]), *(["--partial"] if partial else []),
                    *([f"--deadline={deadline}us"] if deadline is not None else []), "--", what]
        if method == "ListJobs":
            key, verb = "id", "show"
        else:
            key, verb = {"Cancel": "id", "Explain": "block"}.get(method), None
        rest = {name: value for name, value in parameters.items() if value is not None}
        value = rest.pop(key, None)
        if rest or key and type(value) is not int:
            return None if parameters or verb is None else []
        return ["--", str(value)] if key else []

    def ask(self, method, parameters):
        arguments = self.arguments(method, parameters)
        if arguments is None:
            return None
        verb = ("show" if arguments else "jobs") if method == "ListJobs" else CTL_VERBS[method]
        done = subprocess.run([*self.command, verb, *arguments], capture_output=True, text=True, timeout=PATIENCE)
        answer = json.loads(done.stdout) if done.stdout else Part(error=INVALID)
        if "error" in answer:
            refused = answer["error"].split(".")[-1] in ("Refused", "PermissionDenied")
            assert done.returncode == (77 if refused else 1) and done.stderr, (arguments, done)
        elif method != "Plan":      # which is 1 where it cannot be done
            assert (done.returncode, done.stderr) == (0, ""), (arguments, done)
        return answer
