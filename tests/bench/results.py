# SPDX-License-Identifier: GPL-2.0-or-later
#
# Keeps what cells of the benchmark measured, so that a run that was ended goes on where
# it was. It owns one file of JSON lines for each tree that was measured: figures of
# different trees, kernels or sizes never meet in one table.

import json
import os

import debian
import product

TOP = product.TOP

# What a figure follows from: what removes, and what fills and measures.
MEASURED = ('daemon', 'kmod', 'policy', 'meson.build', 'tests/vm/measure.c', 'tests/vm/workload.c',
            'tests/vm/usedpages.c', 'tests/vm/pages.c', 'tests/vm/pages.h', 'tests/vm/filecache.c', 'tests/vm/latency.c')


def current_tree():
    return product.tree_hash(*(os.path.join(TOP, p) for p in MEASURED))


class Results:
    """What is known of one tree. A cell is any JSON value that tells it from all others."""

    def __init__(self, kernel, build=None):
        """With a build directory of the caller's, whose sources nobody knows, nothing is kept."""
        self.tree = current_tree()
        self.path = None
        self.known = {}
        if build:
            return
        name = '%s-%s.jsonl' % (kernel.release, self.tree)
        self.path = os.path.join(debian.cache_dir('bench'), name)
        self._read()

    def _read(self):
        try:
            with open(self.path, encoding='utf-8') as f:
                lines = f.readlines()
        except FileNotFoundError:
            return
        for line in lines:
            try:
                entry = json.loads(line)
                cell, result = entry['cell'], entry['result']
            except (ValueError, KeyError, TypeError):
                continue                        # the last line of a run that was killed while it wrote
            self.known[json.dumps(cell)] = result

    def get(self, cell):
        return self.known.get(json.dumps(cell))

    def put(self, cell, result):
        """One write at the end of the file: two runs at a time do not mix their lines."""
        self.known[json.dumps(cell)] = result
        if not self.path or current_tree() != self.tree:
            return                              # sources that changed meanwhile: nobody knows what was measured
        line = json.dumps({'cell': cell, 'result': result}) + '\n'
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, line.encode())
        finally:
            os.close(fd)
