# SPDX-License-Identifier: GPL-2.0-or-later
#
# The planner on a real machine: two nodes and three DIMMs, each used to another degree. What
# it says before anything is touched is held against what then happens.

from scenario import MIB, CallError, Eject, Workload, used_pages, varlink

SHARES = {'d1': 40, 'd2': 8, 'd3': 24}
CHANCE = 8 * MIB                  # what comes and goes between two looks: free pages on lists of each CPU, caches
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
    guest.work = {name: Workload(guest, guest.dimm_range(name), share=share, seed=share)
                  for name, share in SHARES.items()}


def _guest(t):
    t.need_product()
    return t.shared('planner', _prepare, chained=True, memory='1536M', devices=_machine(),
                    cpus='2,sockets=2', trixie=True, limit=400,
                    append='numa_balancing=disable')     # which moves pages, too


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


def test_cheapest(t):
    """the DIMM that a plan names as cheapest moves no more pages than any other"""
    g = _guest(t)
    migrated = []
    while g.dimms():
        known = _names(g)
        named = varlink(g, 'Plan', {'sizeBytes': 128 * MIB})['cheapestDevice']
        cheapest = next(name for name, device in known.items() if device['name'] == named)
        used = {name: used_pages(g, g.dimm_range(name)) for name in known}
        if not migrated:
            t.equal(cheapest, 'd2', 'the cheapest of three')
        eject = Eject(g, cheapest)
        eject.wait_deleted()
        t.note(eject.figures())
        for name, pages in used.items():
            if name != cheapest:
                t.true(eject.migrated <= pages, '%s moved %d pages, and in %s only %d were used'
                       % (cheapest, eject.migrated, name, pages))
        migrated.append(eject.migrated)
    t.equal(migrated[0], min(migrated), 'migrations of the first of %s' % migrated)
    t.equal([work.end()[1] for work in g.work.values()], [0, 0, 0], 'bad pages')
