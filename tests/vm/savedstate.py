# SPDX-License-Identifier: GPL-2.0-or-later
#
# A guest's whole state at one moment, from which it goes on as often as one likes: for
# cases that compare what each of several ways would do. It owns the file of the state;
# the state's own guest is over when it is saved.

import os
import shutil
import tempfile

import machine
from channel import GuestError

UNLIMITED = 1 << 40                             # bytes a second


class SavedState:
    """What a guest was when this was made. Use as a context manager: the file is gone at its end."""

    def __init__(self, guest, timeout=120):
        self.guest = guest
        self.dir = tempfile.mkdtemp(prefix='memunplug-state-')
        try:
            self._save(timeout)
        except BaseException:
            self.close()
            raise

    def _save(self, timeout):
        guest = self.guest
        since = guest.mark()
        guest.qmp('stop')                       # and QEMU remembers that it was, so that it does not run at once
        guest.wait_event('STOP', 10, since)
        guest.qmp('migrate-set-parameters', {'max-bandwidth': UNLIMITED})
        _transfer(guest, 'migrate', 'exec:cat >%s/state' % self.dir, timeout)
        guest.link.drain()                      # what the agent had sent until then
        os.rename(os.path.join(guest.dir, 'initrd'), os.path.join(self.dir, 'initrd'))
        guest.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def resume(self, limit=300):
        """A guest that goes on from here, for so many seconds at most."""
        return _Resumed(self, limit)


class _Resumed(machine.Guest):
    """A guest that goes on from a saved state, with the processes that ran there."""

    def __init__(self, state, limit):
        self.__dict__.update(state.guest.__dict__)
        self.dir = tempfile.mkdtemp(prefix='memunplug-guest-')
        self.console_path = os.path.join(self.dir, 'console')
        self.process = self.link = None
        try:
            os.link(os.path.join(state.dir, 'initrd'), os.path.join(self.dir, 'initrd'))
            self._start(limit, '-incoming', 'defer')
            self.link.go_on(state.guest.link)
            _transfer(self, 'migrate-incoming', 'exec:cat %s/state' % state.dir, limit)
            self.qmp('cont')
        except BaseException:
            self.close()
            raise


def _transfer(guest, command, uri, timeout):
    """Migrates to or from a URI, until that has ended."""
    guest.qmp('migrate-set-capabilities', capabilities=[{'capability': 'events', 'state': True}])
    since = guest.mark()
    guest.qmp(command, uri=uri)
    event = guest.wait_event('MIGRATION', timeout, since, lambda d: d['status'] in ('completed', 'failed'))
    if event['data']['status'] != 'completed':
        raise GuestError('%s %s failed\n%s' % (command, uri, guest.tail()))
