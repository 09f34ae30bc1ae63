# SPDX-License-Identifier: GPL-2.0-or-later
#
# The whole path: the hypervisor takes a DIMM back that a workload is using. One eject is
# watched from every side; each case looks at one thing that must hold of it. The same
# eject by the kernel alone is in test_baseline.py, in the same run.

import json

from cases import Failure, kernels
from scenario import MIB, OST_EJECT, OST_OK, OST_PENDING, Eject, Watch, Workload, job

SHARE = 25


class Watched:
    """One eject of a scattered, verified DIMM with both interfaces watched meanwhile."""

    def __init__(self, t):
        guest = t.guest(memory='1536M', dimms=['2G', '256M'], trixie=True, limit=480)
        # Linux 6.1 waits for the other processor at each page; beside other guests that is a turn of the scheduler.
        guest.put('/etc/memunplug/memunplugd.conf.d/50-test.conf', '[Unplug]\nDeadlineSec=5min\n', 0o644)
        daemon = guest.start_daemon()
        work = Workload(guest, guest.dimm_range('d1'), share=SHARE, seed=7, touch=True)
        # The emulator's own memory (translated code, tables) grows when code runs for the first time: a
        # small eject before takes that out of what is measured.
        Workload(guest, guest.dimm_range('d2'), share=SHARE, seed=8)
        Eject(guest, 'd2', measure=False).wait_deleted()
        watch = Watch(guest, daemon)
        self.by_bus = []
        bus = guest.spawn(['busctl', '--system', '--json=short', 'monitor', 'org.memunplug1'])
        bus.on_line = lambda line, when: self.by_bus.append((when, json.loads(line)))
        while not self.by_bus:                  # it does not say when it has begun to listen
            guest.check(['busctl', '--system', 'call', 'org.memunplug1', '/org/memunplug1',
                         'org.freedesktop.DBus.Peer', 'Ping'])
        self.eject = Eject(guest, 'd1')
        self.eject.wait_deleted(330)
        self.eject.wait_answer(OST_OK)
        self.ident = next(j['id'] for j in watch.jobs() if j['state'] == 'planning')
        watch.wait_final(self.ident)
        self.by_varlink = watch.jobs(self.ident)
        guest.link.wait(lambda: any(m.get('member') == 'JobRemoved' for _, m in self.by_bus), 20, 'JobRemoved')
        self.checked, self.bad = work.end()
        self.job = job(guest, self.ident)
        self.events = guest.events(since=self.eject.since)
        t.note(self.eject.figures())


def watched(t):
    """The eject that all cases look at; made by the first of them."""
    t.need_product()
    if 'watched' not in t.results:
        t.results['watched'] = None
        t.results['watched'] = Watched(t)
    if t.results['watched'] is None:
        raise Failure('the eject itself failed: see the first case')
    return t.results['watched']


@kernels('6.1', '6.12')
def test_answers(t):
    """device_del of a DIMM in use: _OST 0x84 first, then DEVICE_DELETED, then success"""
    w = watched(t)
    names = [(e['event'], e['data'].get('info', {}).get('status')) for e in w.events
             if e['event'] == 'DEVICE_DELETED' or e['event'] == 'ACPI_DEVICE_OST'
             and e['data']['info']['source'] in OST_EJECT]
    t.equal(names[0], ('ACPI_DEVICE_OST', OST_PENDING), 'first event')
    t.equal([n for n in names if n[1] != OST_PENDING][0][0], 'DEVICE_DELETED', 'first event that is not 0x84')
    t.equal(w.eject.answers()[-1], OST_OK, 'last _OST')
    t.equal(w.events and [e for e in w.events if e['event'] == 'MEM_UNPLUG_ERROR'], [], 'errors of the hypervisor')


@kernels('6.1', '6.12')
def test_contents(t):
    """every page of the workload is right, before, meanwhile and after"""
    w = watched(t)
    t.note('pages checked %d, bad %d', w.checked, w.bad)
    t.equal(w.bad, 0, 'bad pages')
    t.at_least(w.checked, w.eject.used, 'pages checked')


@kernels('6.1', '6.12')
def test_memory(t):
    """the guest's MemTotal is smaller by the DIMM"""
    t.equal(watched(t).eject.memory_lost, 2 << 30, 'memory gone')


@kernels('6.1', '6.12')
def test_migrations(t):
    """at most 1.05 migrations per used page, where the plain kernel needs above 2"""
    w = watched(t)
    plain = t.results.get('plain')
    t.note('%.3f migrations per used page, %.2f s%s', w.eject.ratio, w.eject.seconds,
           '; plain kernel %(ratio).3f, %(seconds).2f s' % plain if plain else '')
    t.at_most(w.eject.ratio, 1.05, 'migrations per used page')
    if plain:
        t.at_least(plain['ratio'], 2.0, 'migrations per used page of the plain kernel')
    else:
        t.note('compared with nothing: the plain kernel is measured by vm/%s/baseline', t.kernel.series)


@kernels('6.1', '6.12')
def test_host_memory(t):
    """the hypervisor's resident memory does not grow by more than 16 MiB meanwhile"""
    w = watched(t)
    t.note('host memory: %d MiB before, peak %d MiB', w.eject.rss_before / MIB, w.eject.rss_peak / MIB)
    t.at_most((w.eject.rss_peak - w.eject.rss_before) / MIB, 16, 'MiB more')


def rises_to_the_end(t, samples, what):
    """Progress: never falls, is seen on the way, and arrives at all there is."""
    values = [done for done, _ in samples]
    t.equal(values, sorted(values), what + ': evacuatedBytes over time')
    between = {v for v in values if 0 < v < samples[-1][1]}
    t.note('%s: %d reports, %d of them on the way', what, len(samples), len(between))
    t.at_least(len(between), 3, what + ': reports between begin and end')
    t.equal(values[-1], samples[-1][1], what + ': evacuatedBytes at the end, of moveBytes')
    t.true(values[-1] > 0, what + ': nothing moved')


@kernels('6.1', '6.12')
def test_progress_varlink(t):
    """progress by Varlink (varlinkctl call --more Monitor) rises to the end"""
    w = watched(t)
    jobs = w.by_varlink
    states = []
    for j in jobs:
        if j['state'] not in states[-1:]:
            states.append(j['state'])
    t.note('states: ' + ' '.join(states))
    wanted = ['planning', 'evacuating', 'offlining', 'ejecting', 'done']
    t.equal([s for s in states if s != 'queued'], wanted, 'states')
    rises_to_the_end(t, [(j['evacuatedBytes'], j['moveBytes']) for j in jobs], 'Varlink')
    t.equal((jobs[-1]['source'], jobs[-1]['removedBytes'], jobs[-1]['removedBlocks']), ('acpi', 2 << 30, 16),
            'the record at the end')


def changes_of_job(messages, ident):
    """Property changes of a Job object, oldest first."""
    path = '/org/memunplug1/job/_%d' % ident
    for _, m in messages:
        if m.get('path') == path and m.get('member') == 'PropertiesChanged':
            values = m['payload']['data'][1]
            yield {name: value['data'] for name, value in values.items()}


@kernels('6.1', '6.12')
def test_progress_bus(t):
    """progress by D-Bus (busctl monitor) rises to the end; JobNew and JobRemoved frame it"""
    w = watched(t)
    members = [m['member'] for _, m in w.by_bus if m.get('member') in ('JobNew', 'JobRemoved')]
    t.equal(members, ['JobNew', 'JobRemoved'], 'signals of the manager')
    removed = next(m for _, m in w.by_bus if m.get('member') == 'JobRemoved')
    t.equal(removed['payload']['data'][2], 'done', "JobRemoved's result")
    total, samples = 0, []
    for change in changes_of_job(w.by_bus, w.ident):
        total = change.get('MoveBytes', total)
        if 'EvacuatedBytes' in change:
            samples.append((change['EvacuatedBytes'], total))
    t.true(samples, 'no changes of EvacuatedBytes')
    rises_to_the_end(t, samples, 'D-Bus')


@kernels('6.1', '6.12')
def test_history(t):
    """the job stays in the list, done, with its times"""
    w = watched(t)
    t.equal((w.job['state'], w.job['operation'], w.job['source']), ('done', 'unplug', 'acpi'), 'record')
    t.true(w.job['createdAt'] <= w.job['startedAt'] <= w.job['finishedAt'], 'times of the record: %s' % w.job)
    t.true('reason' not in w.job and not w.job.get('blockers'), 'a reason without a failure: %s' % w.job)
