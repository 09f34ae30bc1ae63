# SPDX-License-Identifier: GPL-2.0-or-later
#
# Things done to a running service again and again, each time with the question whether
# anything was lost. One class for each, all with the same three members: a guest that is
# made ready, step() that does it once and raises Failure if anything is wrong, and
# figures(). How often, and what is written down, is up to the caller: test_endurance.py
# does a few of each, tests/release-bars as many as a release takes.

import json
import random
import re
import signal
import time

import hostile
import moduleguest
from cases import Failure
from scenario import (FINAL, OST_PENDING, Eject, Workload, blocks, ctl, ctl_jobs, isolated_blocks, states,
                      wait_all_online)

ANSWER_SECONDS = 60                             # an eject request without a final answer by then is lost
RESTART_SECONDS = 2
SERVICE = 'daemon', 'kmod'                      # folders of sources that figures are of


def expect(value, wanted, what):
    if value != wanted:
        raise Failure('%s: %r, not %r' % (what, value, wanted))


class Lab:
    """A guest with the service and a verifying workload, and what its memory was like before."""

    def __init__(self, boot, dimms=('512M',), share=25, seed=1, touch=False, memory='1G', pause=None, cpus=2):
        self.guest = g = boot(memory=memory, dimms=list(dimms), trixie=True, limit=24 * 3600, cpus=cpus)
        self.random = random.Random(seed)
        self.daemon = g.start_daemon()
        ranges = ','.join(g.dimm_range('d%d' % (i + 1)) for i in range(len(dimms)))
        self.work = Workload(g, ranges, share=share, seed=seed, touch=touch, pause=pause) if ranges else None
        self.remember()

    def remember(self):
        self.before, self.memory = blocks(self.guest), self.guest.meminfo('MemTotal')

    def restart(self):
        """Starts the daemon again: seconds until it was ready."""
        begin = time.monotonic()
        self.daemon = self.guest.start_daemon()
        return time.monotonic() - begin

    def wait_listening(self):
        """Until the daemon hears eject requests: what one that was killed left in the kernel has let go of the gate."""
        self.guest.link.wait(lambda: 'Not listening' not in self.daemon.err or 'The gate is free' in self.daemon.err,
                             30, 'the gate', lambda: self.daemon.err)

    def replug(self, size):
        r = ctl(self.guest, 'replug', size, timeout=120)
        if r.rc:
            raise Failure('replug: %s%s' % (r.out, r.err))

    def ended(self):
        """Until all jobs have ended, each in one of the final states: the id of the last."""
        def last():
            listed = ctl_jobs(self.guest)
            return listed[-1]['id'] if all(j['state'] in FINAL for j in listed) else 0
        return self.guest.link.wait(last, 10, 'the end of all jobs', lambda: str(ctl_jobs(self.guest)))

    def whole(self, timeout=30):
        """Nothing is lost: blocks and zones as before, nothing isolated, contents right."""
        g = self.guest
        wait_all_online(g, timeout)
        expect(blocks(g), self.before, 'blocks')
        expect(g.meminfo('MemTotal'), self.memory, 'MemTotal')
        expect(isolated_blocks(g), 0, 'isolated pageblocks')
        g.check('echo 1 >/proc/sys/vm/stat_refresh')    # what CPUs have counted each for itself
        counters = g.vmstat()
        expect((counters['nr_isolated_anon'], counters['nr_isolated_file']), (0, 0), 'isolated pages')
        if self.work:
            expect(self.work.verify()[1], 0, 'bad pages')
        if g.splats():
            raise Failure('the kernel said: ' + g.splats()[0])

    def evidence(self):
        """For whoever looks into a loss: where processes wait, what the daemon said, jobs, blocks, the kernel's log."""
        g = self.guest
        g.check('echo w >/proc/sysrq-trigger')
        waiting = g.run('for p in /proc/[0-9]*; do grep -q . $p/cmdline || continue; tr "\\0" " " <$p/cmdline; echo; '
                        'grep State $p/status; cat $p/stack; ls -l $p/fd; done').out
        told = [ctl(g, 'explain', str(index)) for index in states(g)]
        return '\n\n'.join((waiting, self.daemon.err, str(ctl_jobs(g)), *(r.out + r.err for r in told), g.console))

    def checked(self):
        return self.work.verify()[0] if self.work else 0


def answered_once(eject):
    """An eject request has one final answer, or the device is gone: whether it is gone."""
    final = eject.wait_final(ANSWER_SECONDS)
    codes = [c for c in eject.answers() if c != OST_PENDING]
    if final != 'deleted':
        expect(len(codes), 1, 'final answers %s' % [hex(c) for c in codes])
    return final == 'deleted'


class DimmCycles:
    """A DIMM is plugged, comes online, gets used, is asked back and goes."""

    what = 'DIMM plugged and ejected'
    sources = SERVICE

    def __init__(self, boot, seed=1, cpus=2):
        self.lab = Lab(boot, dimms=(), seed=seed, memory='512M', cpus=cpus)
        self.checked = 0
        self.slowest = 0.0

    def step(self):
        lab, g = self.lab, self.lab.guest
        name = g.add_dimm('128M')
        work = Workload(g, g.dimm_range(name), size=32 << 20, share=100, pause=50,
                        seed=lab.random.randrange(1 << 30))
        eject = Eject(g, name, measure=False)
        if not answered_once(eject):
            raise Failure('%s did not go: %s; the daemon says: %s' % (
                name, [hex(c) for c in eject.answers()], ctl_jobs(g)[-1]))
        self.slowest = max(self.slowest, time.monotonic() - eject.begin)
        g.qmp('object-del', id='m' + name[1:])
        checked, bad = work.end()
        self.checked += checked
        expect(bad, 0, 'bad pages')
        lab.whole()

    def figures(self):
        return {'pagesChecked': self.checked, 'slowestSeconds': round(self.slowest, 2)}


class LoadedOfflines:
    """Blocks in use, written to all the while, are taken offline and brought back."""

    what = 'block in use offlined, contents verified'
    sources = SERVICE

    def __init__(self, boot, seed=1, cpus=2):
        self.lab = Lab(boot, dimms=('512M', '512M'), share=40, seed=seed, touch=True, cpus=cpus)

    def step(self):
        r = ctl(self.lab.guest, 'unplug', '256M', timeout=120)
        if r.rc:
            raise Failure('unplug: %s%s' % (r.out, r.err))
        gone = sum(s == 'offline' for s in states(self.lab.guest).values())
        self.lab.replug('256M')
        self.lab.whole()
        return gone

    def figures(self):
        return {'pagesChecked': self.lab.checked()}


DIMM, HALF = '256M', '128M'                     # what the jobs are for that the daemon is killed in

# Kills when the job has come to a state, or has ended without it.
KILL_IN_STATE = """memunplugctl --json=short monitor | while read -r event; do
case $event in
*ready*) echo armed;;
%s) kill -%d %d; break;;
esac; done"""


def signal_in_state(guest, pid, state, signo):
    """The daemon gets a signal when a job comes to a state, or ends without it: what does it."""
    events = '|'.join("""*'"state":"%s"'*""" % s for s in (state, *FINAL))
    process = guest.spawn(KILL_IN_STATE % (events, signo, pid))
    process.wait_line('^armed')
    return process


MOMENTS = {'operator': ('planning', None, 'evacuating', None, 'offlining', None),   # None: any, at random
           'eject': ('evacuating', 'ejecting', 'offlining', 'planning', None, None)}


class Kills:
    """The daemon is killed in a job, in each state in turn and at random moments, and started again."""

    what = 'daemon killed in a job'
    sources = SERVICE

    def __init__(self, boot, seed=1, cpus=2):
        self.lab = Lab(boot, dimms=(DIMM,), share=50, seed=seed, pause=50, cpus=cpus)
        self.steps, self.turns = 0, {}
        self.hit = {}                           # when it was killed, and what became of the job: how often
        self.slowest = 0.0
        begin = time.monotonic()
        r = ctl(self.lab.guest, 'unplug', HALF, timeout=120)
        if r.rc:
            raise Failure('unplug: %s%s' % (r.out, r.err))
        self.span = time.monotonic() - begin    # how long a job takes here
        self.lab.replug(HALF)
        self.last = self.lab.ended()

    def _arm(self, by):
        """Has the daemon killed in the job that comes now: what does it."""
        moments = MOMENTS[by]
        self.turns[by] = self.turns.get(by, -1) + 1
        self.state = moments[self.turns[by] % len(moments)]
        self.signo = self.lab.random.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGSEGV))
        if not self.state:
            delay = self.lab.random.uniform(0, self.span)
            return self.lab.guest.spawn('usleep %d; kill -%d %d' % (delay * 1e6, self.signo, self.lab.daemon.pid))
        return signal_in_state(self.lab.guest, self.lab.daemon.pid, self.state, self.signo)

    def _restart(self):
        """Starts the daemon that was killed: the record of the job after the last one, if there is any."""
        expect(self.lab.daemon.wait(20).rc, 128 + self.signo, 'exit status of the daemon')
        self.slowest = max(self.slowest, self.lab.restart())
        record = ctl_jobs(self.lab.guest)[-1]
        reached = 'nothing yet'
        if record['id'] != self.last:
            reached = record['cause'] if record['state'] == 'failed' else record['state']
        reached = '%s: %s' % (self.state or 'at random', reached)
        self.hit[reached] = self.hit.get(reached, 0) + 1
        return record if record['id'] != self.last else None

    def step(self):
        self.steps += 1
        self._eject() if self.steps % 2 else self._operator()

    def _operator(self):
        lab = self.lab
        killer = self._arm('operator')
        ctl(lab.guest, 'unplug', '--no-wait', HALF)
        killer.wait(60)
        record = self._restart()
        if record and record['state'] == 'done':    # it was through before the signal came
            lab.replug(HALF)
        lab.whole()
        self.last = lab.ended()

    def _eject(self):
        lab, g = self.lab, self.lab.guest
        dimm = max(g.dimms())
        lab.wait_listening()
        killer = self._arm('eject')
        eject = Eject(g, dimm, measure=False)
        killer.wait(60)
        gone = answered_once(eject)
        self._restart()
        if gone:
            g.qmp('object-del', id='m' + dimm[1:])
            g.add_dimm(DIMM)
        lab.whole()
        self.last = lab.ended()

    def figures(self):
        return {'slowestRestartSeconds': round(self.slowest, 2), 'hit': self.hit, 'pagesChecked': self.lab.checked()}


class FuzzedCalls:
    """The modules' device files get calls by chance, each judged, while a block comes and goes."""

    what = 'call of the modules by chance'
    sources = 'kmod',
    CALLS = 5000                                # in one step: minutes on the debug kernel

    def __init__(self, boot, seed=1, cpus=2):
        self.guest, self.seed, self.worked = boot(limit=24 * 3600, cpus=cpus, **moduleguest.OPTIONS), seed, 0
        moduleguest.prepare(self.guest)

    def step(self):
        out = moduleguest.fuzz(self.guest, self.CALLS, self.seed)
        self.worked += sum(int(n) for n in re.findall(r': (\d+) done,', out))
        self.seed += 1
        expect(self.guest.splats(), [], 'what the kernel said')

    def figures(self):
        return {'notRefused': self.worked}


class HostileHolders:
    """Memory that somebody keeps from moving is asked back: by vmsplice every other time, and by the others in turn."""

    what = 'removal against a holder of its pages, answered in time'
    sources = SERVICE
    DEADLINE = 10                               # seconds
    OTHERS = tuple(k for k in hostile.KINDS if k != 'vmsplice')
    NAMED_MIN = 0.95                            # part of those with vmsplice that name the process

    def __init__(self, boot, seed=1, cpus=2):
        self.guest = boot(memory='1G', dimms=hostile.DIMMS[:1], trixie=True, limit=24 * 3600, cpus=cpus)
        hostile.prepare(self.guest, self.DEADLINE)
        self.work = Workload(self.guest, self.guest.dimm_range('d1'), share=30, seed=seed, pause=50)
        self.turn, self.tries, self.named, self.latest = seed, {}, {}, 0.0

    def step(self):
        self.turn += 1
        kind = self.OTHERS[self.turn // 2 % len(self.OTHERS)] if self.turn % 2 else 'vmsplice'
        attempt = hostile.Try(self.guest, kind, self.DEADLINE)
        attempt.judge()
        attempt.end()
        self.tries[kind] = self.tries.get(kind, 0) + 1
        self.named[kind] = self.named.get(kind, 0) + attempt.named
        self.latest = max(self.latest, attempt.outcome.late)
        tries, named = self.tries.get('vmsplice', 0), self.named.get('vmsplice', 0)
        if tries - named > 1 + tries * (1 - self.NAMED_MIN):
            raise Failure('the holder was named in %d of %d; the last: %s' % (named, tries, attempt))
        if self.guest.splats():
            raise Failure('the kernel said: ' + self.guest.splats()[0])

    def figures(self):
        expect(self.work.verify()[1], 0, 'bad pages')
        return {'tries': self.tries, 'named': self.named, 'slowestAfterDeadlineSeconds': round(self.latest, 2)}


ROWS = {'dimm-cycles': DimmCycles, 'loaded-offlines': LoadedOfflines, 'kills': Kills, 'fuzzed-calls': FuzzedCalls,
        'hostile-holders': HostileHolders}


def describe(figures):
    return json.dumps(figures, sort_keys=True).strip('{}').replace('"', '')
