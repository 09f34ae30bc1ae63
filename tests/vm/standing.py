# SPDX-License-Identifier: GPL-2.0-or-later
#
# A removal that stays in the middle of its work, for cases in which something happens
# to a service meanwhile. A hook holds the job back until pages in its way are held,
# which nobody could know of when it was accepted; then it tries again and again.

import os

from scenario import FINAL, Holder, Watch, ctl, varlink, varlink_stream

CONFIG = '/etc/memunplug/memunplugd.conf.d/50-standing.conf'
HOOK = '/etc/memunplug/hooks.d/50-standing'
GO = '/run/standing-go'                         # the hook agrees when this is there
PATIENCE = 120
ASKED = 'timeout %d sh -c "until grep -qs hooks.d/50[-]standing /proc/[0-9]*/cmdline; do sleep 0.1; done"' % PATIENCE


class StandingJob:
    """An operator's removal of a DIMM, evacuating from now on; process is the client that waits for it."""

    def __init__(self, guest, dimm):
        self.guest = guest
        first = guest.dimms()[dimm][0] >> 27
        device = next(r['device']['name'] for r in varlink(guest, 'ListDevices', more=True)
                      if r['device']['firstBlock'] == first)
        guest.check('rm -f ' + GO)
        guest.put(HOOK, '#!/bin/sh\nuntil [ "$1" != pre ] || [ -e %s ]; do sleep 0.1; done\n' % GO)
        guest.put(CONFIG, '[Unplug]\nRetries=100\nHookTimeoutSec=%d\n' % PATIENCE, 0o644)
        guest.check('systemctl reload memunplugd.service')
        self.holder = Holder(guest, guest.dimm_range(dimm), later=True)
        watch = Watch(guest)
        self.process, self.replies = varlink_stream(guest, 'Unplug', {'device': device, 'deadlineUsec': 600 * 10 ** 6})
        guest.check(ASKED, PATIENCE + 10)
        self.holder.hold_now()
        guest.check('touch ' + GO)
        tried = watch.wait(lambda: [j['id'] for j in watch.jobs() if j['state'] == 'evacuating' and j['attempts'] > 1],
                           'a second attempt')
        self.id = tried[-1]
        watch.end()

    def record(self):
        return next(r['job'] for r in varlink(self.guest, 'ListJobs', more=True) if r['job']['id'] == self.id)

    def standing(self):
        """Whether it has not ended yet."""
        return self.record()['state'] not in FINAL

    def told(self):
        """The last state that the waiting client heard of."""
        return self.replies[-1][1]['job']['state'] if self.replies else None

    def cancel(self):
        return ctl(self.guest, 'cancel', str(self.id), timeout=PATIENCE)

    def end(self):
        """Takes away what held it; the job itself has ended."""
        self.holder.end()
        self.guest.check('rm -f %s %s %s && systemctl reload memunplugd.service' % (HOOK, CONFIG, GO))
        self.guest.run(['rmdir', '-p', '--ignore-fail-on-non-empty', *map(os.path.dirname, (HOOK, CONFIG))])
