# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine with a terminal as the hypervisor's port, at the other end of which we are."""
import json
import os
import select
import tty

from machine import PATIENCE, Machine


def message(method, parameters, more=False):
    return json.dumps({"method": method, "parameters": parameters, "more": more}).encode() + b"\0"


def talk(fd, method, parameters, more=False, first=False):
    """One call on a stream: all replies, or with first only that one."""
    os.write(fd, message(method, parameters, more))
    data, replies = b"", []
    while True:
        while b"\0" in data:
            text, data = data.split(b"\0", 1)
            replies.append(json.loads(text))
            if first or not replies[-1].get("continues"):
                return replies
        assert select.select([fd], [], [], PATIENCE)[0], f"no answer to {method}"
        piece = os.read(fd, 65536)
        assert piece, f"closed by {method}"
        data += piece


class PortMachine(Machine):
    """policy: what the hypervisor may do, as in memunplugd.conf; owner: the uid that may open the port."""

    def __init__(self, policy, *options, owner=-1, **more):
        self.policy, self.owner = policy, owner
        super().__init__(*options, **more)

    def make_tree(self):
        super().make_tree()
        self.host, self.guest = os.openpty()
        tty.setraw(self.guest)
        os.chown(os.ttyname(self.guest), self.owner, -1)
        self.put("sys/class/virtio-ports/vport1p1/name", "org.memunplug.0\n")
        (self.root / "dev").mkdir()
        (self.root / "dev/vport1p1").symlink_to(os.ttyname(self.guest))
        self.put("etc/memunplug/memunplugd.conf", f"[Sources]\nVirtioSerial={self.policy}\n")

    def say(self, method, parameters, more=False, first=False):
        """The hypervisor's call."""
        return talk(self.host, method, parameters, more, first)
