# SPDX-License-Identifier: GPL-2.0-or-later
#
# A few of what tests/release-bars does thousands of times: whether anything gets lost
# when things are done again and again, and at bad moments.

import endurance


def _repeat(t, row, times):
    t.need_product()
    bench = endurance.ROWS[row](lambda **options: t.guest(**{**options, 'limit': 400}))
    for _ in range(times):
        bench.step()
    t.note('%d times; %s', times, endurance.describe(bench.figures()))
    return bench


def test_dimm_cycles(t):
    """8 times: a DIMM is plugged, used, asked back and goes; nothing is lost on the way"""
    _repeat(t, 'dimm-cycles', 8)


def test_loaded_offlines(t):
    """5 times: two blocks that are in use and written to go offline and come back, every page right"""
    _repeat(t, 'loaded-offlines', 5)


def test_kills(t):
    """6 times: killed in each state of a job and at random, started again: nothing lost, each request answered once"""
    bench = _repeat(t, 'kills', 6)
    t.at_most(bench.slowest, endurance.RESTART_SECONDS * 4, 'seconds of a restart, under emulation')


def test_hostile_holders(t):
    """6 times: memory that somebody keeps from moving is asked back, and the answer is in time"""
    _repeat(t, 'hostile-holders', 6)
