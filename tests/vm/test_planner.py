# SPDX-License-Identifier: GPL-2.0-or-later
#
# The planner on a real machine: two nodes and three DIMMs, each used to another degree. What
# it says before anything is touched is held against what then happens.

import re

from savedstate import SavedState
from scenario import MIB, CallError, Eject, Workload, blocks, ctl, used_pages, varlink

SHARES = {'d1': 40, 'd2': 8, 'd3': 24}
CHANCE = 8 * MIB                  # what comes and goes between two looks: free pages on lists of each CPU, caches
ROOM_CHANCE = 64 * MIB            # of what is free: the client that asks needs memory, too, and gives it back
PAUSE = 500                       # milliseconds between two looks at all pages: the processors are for others
NODES = {'d1': 0, 'd2': 1, 'd3': 1}
SIZE = 512 * MIB
PAGE = 4096


def _machine():
    devices = []
    for node in 0, 1:
        devices += ['-object', 'memory-backend-ram,id=n%d,size=768M' % node,
                    '-numa', 'node,nodeid=%d,cpus=%d,memdev=n%d' % (node, node, node)]
    for i, (name, node) in enumerate(NODES.items(), 1):
        devices += ['-object', 'memory-backend-ram,id=m%d,size=%d' % (i, SIZE),
                    '-device', 'pc-dimm,id=%s,memdev=m%d,node=%d' % (name, i, node)]
    return devices


def _prepare(guest):
    guest.start_daemon()
    guest.work = {name: Workload(guest, guest.dimm_range(name), share=share, seed=share, pause=PAUSE)
                  for name, share in SHARES.items()}


def _guest(t):
    t.need_product()
    return t.shared('planner', _prepare, chained=True, memory='1536M', devices=_machine(),
                    cpus='2,sockets=2', trixie=True, limit=400,
                    append='numa_balancing=disable init_on_free=1')    # it moves pages, too; zeroes are quickly saved


def _names(guest):
    """The guest's name of each DIMM that the hypervisor knows by its own, by address."""
    size = varlink(guest, 'GetStatus')['blockSizeBytes']
    devices = [r['device'] for r in varlink(guest, 'ListDevices', more=True)]
    by_address = {d['firstBlock'] * size: d for d in devices}
    return {name: by_address[address] for name, (address, _) in guest.dimms().items()}


def test_too_much(t):
    """what cannot fit is refused before anything is touched, with numbers that are right"""
    g = _guest(t)
    known = _names(g)
    t.equal({name: d.get('node') for name, d in known.items()}, NODES, 'nodes of the DIMMs')
    for name, device in known.items():
        used = used_pages(g, g.dimm_range(name)) * PAGE
        t.true(abs(device['moveBytes'] - used) <= CHANCE, '%s: said to move %d, used are %d'
               % (name, device['moveBytes'], used))
    before = g.vmstat()['pgmigrate_success']
    try:
        varlink(g, 'Unplug', {'sizeBytes': 4 * SIZE})
    except CallError as error:
        t.true('2G asked for, but 1.5G can go' in str(error), 'the refusal: %s' % error)
    else:
        t.fail('2G are accepted where 1.5G can go')
    t.equal(g.vmstat()['pgmigrate_success'], before, 'migrations')


def test_node(t):
    """a node's plan has all of its DIMMs and nothing of the other node; a size of it comes from there, and goes back"""
    g = _guest(t)
    known = _names(g)
    plan = varlink(g, 'Plan', {'node': 1})
    t.equal({step['device'] for step in plan['steps']}, {known['d2']['name'], known['d3']['name']}, 'devices')
    t.equal((plan['removableBytes'], {step['node'] for step in plan['steps']}), (2 * SIZE, {1}), 'what would go')
    used = used_pages(g, g.dimm_range('d2')) + used_pages(g, g.dimm_range('d3'))
    t.at_most(abs(plan['moveBytes'] - used * PAGE), 2 * CHANCE, 'said to move %d, used are %d: they differ by'
              % (plan['moveBytes'], used * PAGE))
    before = blocks(g)
    t.equal(ctl(g, 'unplug', '128M@node:1').rc, 0, 'memunplugctl unplug')
    gone = [index for index, (state, _) in blocks(g).items() if state == 'offline' and before[index][0] == 'online']
    t.equal((len(gone), set(gone) <= {step['block'] for step in plan['steps']}), (1, True), 'blocks gone: %s' % gone)
    t.equal(ctl(g, 'replug', 'node:1').rc, 0, 'memunplugctl replug')
    t.equal(blocks(g), before, 'blocks')


def _plan_with_reserve(g, device, size, feasible):
    """The plan for a device with another reserve, '' for the default, once the daemon has read its configuration."""
    g.put('/etc/memunplug/memunplugd.conf', b'[Policy]\nKeepFreeBytes=%s\n' % size.encode(), 0o644)
    g.check('kill -HUP $(pidof memunplugd)')
    for _ in range(20):
        plan = varlink(g, 'Plan', {'device': device})
        if plan['feasible'] == feasible:
            break
    return plan


def _zones(g):
    """/proc/zoneinfo: {(node, zone): {counter: bytes}}, and the largest of what is kept from others as 'protection'."""
    zones = {}
    for line in g.check('cat /proc/zoneinfo').splitlines():
        head = re.match(r'Node (\d+), zone +(\w+)', line)
        value = re.match(r' +(pages free|\w+) +(\d+)$', line)
        kept = re.match(r' +protection: \((.*)\)', line)
        if head:
            zone = zones[int(head[1]), head[2]] = {}
        elif value:
            zone[value[1]] = int(value[2]) * PAGE
        elif kept:
            zone['protection'] = max(int(n) for n in kept[1].split(',')) * PAGE
    return {key: zone for key, zone in zones.items() if zone['managed']}


def _room(g, node, lost, used):
    """What zones outside can take, by node, if so much of a node's zone Movable goes, free and used."""
    room = {}
    for (where, name), zone in _zones(g).items():
        goes = (where, name) == (node, 'Movable')
        free = max(0, zone['pages free'] - lost * goes - zone['high'] - zone['protection'])
        file = min(zone.get('nr_zone_inactive_file', 0) + zone.get('nr_zone_active_file', 0),
                   max(0, zone['managed'] - zone['pages free'] - used * goes))
        room[where] = room.get(where, 0) + free + file - min(file // 2, zone['low'])
        room[where] += zone.get('nr_slab_reclaimable', 0) // 2
    return room


def _bytes(text):
    return float(text[:-1]) * {'K': 1 << 10, 'M': MIB, 'G': 1 << 30}[text[-1]]


def test_no_room(t):
    """what must move and has no room is refused before anything is touched; its numbers are those of /proc/zoneinfo"""
    g = _guest(t)
    device = _names(g)['d1']
    plan = _plan_with_reserve(g, device['name'], '4G', False)
    t.equal((plan['feasible'], plan['reserveBytes']), (False, 4 << 30), 'feasible, reserve')
    used = used_pages(g, g.dimm_range('d1')) * PAGE
    room = _room(g, NODES['d1'], SIZE - used, used)
    said = re.match(r'needs (\S+) free elsewhere, has (\S+): (\S+) on node 0, (\S+) on node 1 \((\S+) would have to '
                    r'move, 4G is kept in reserve, no swap is free\)', plan['reason'])
    t.true(said, 'the sentence: %s' % plan['reason'])
    need, has, node0, node1, move = map(_bytes, said.groups())
    t.note('%s; by /proc/zoneinfo %s' % (plan['reason'], {node: '%d MiB' % (n / MIB) for node, n in room.items()}))
    for what, value, wanted in (('need', need, used + (4 << 30)), ('has', has, sum(room.values())),
                                ('node 0', node0, room[0]), ('node 1', node1, room[1]), ('move', move, used)):
        t.at_most(abs(value - wanted), max(ROOM_CHANCE, value / 20), '%s: %d, by /proc %d, which differ by'
                  % (what, value, wanted))         # one decimal is said
    outside = min(sum(room.values()), g.meminfo('MemAvailable') - (SIZE - used))
    t.at_most(abs(plan['freeBytes'] - outside), ROOM_CHANCE, 'freeBytes %d, by /proc %d: they differ by'
              % (plan['freeBytes'], outside))
    migrated = g.vmstat()['pgmigrate_success']
    try:
        varlink(g, 'Unplug', {'device': device['name']})
    except CallError as error:
        t.true('needs' in str(error), 'the refusal: %s' % error)
    else:
        t.fail('accepted without room')
    t.equal(g.vmstat()['pgmigrate_success'], migrated, 'migrations')
    t.true(_plan_with_reserve(g, device['name'], '', True)['feasible'], 'not feasible with the default reserve')


def _eject_from(state, name, work):
    """The eject of a DIMM from a saved state: what it did and cost."""
    with state.resume() as g:
        eject = Eject(g, name)
        eject.wait_deleted()
        bad = [w.on(g).end()[1] for w in work.values()]
        return eject, bad, g.splats()


def test_cheapest(t):
    """from one and the same state, the eject of the DIMM that a plan names as cheapest moves the fewest pages of all"""
    g = _guest(t)
    known = _names(g)
    named = varlink(g, 'Plan', {'sizeBytes': 128 * MIB})['cheapestDevice']
    cheapest = next(name for name, device in known.items() if device['name'] == named)
    migrated = {}
    with SavedState(g) as state:
        for name in known:
            eject, bad, splats = _eject_from(state, name, g.work)
            t.note(eject.figures())
            t.equal((bad, splats), ([0, 0, 0], []), 'bad pages, and what the kernel said')
            migrated[name] = eject.migrated
    t.equal(migrated[cheapest], min(migrated.values()), 'migrations of %s, of %s' % (cheapest, migrated))
    t.equal(sorted(known, key=migrated.get), sorted(known, key=lambda name: known[name]['moveBytes']),
            'DIMMs by what moved, and by what was said before')
