# SPDX-License-Identifier: GPL-2.0-or-later
#
# The fuzzing slice: every target of tests/fuzz with a number of executions, from the
# corpus of the tree, then the lines of the decoders that all of this reached. It owns
# the counts, the limits of time and the list of decoders; building is product.py's. It takes
# the processors' idle time only, so that it can run beside guests, which leave a lot of it.

import collections
import concurrent.futures
import json
import os
import re
import subprocess
import tempfile
import threading
import time

import checks
import debian
import product

RUNS = 1000000
SEED = int(os.environ.get('MEMUNPLUG_FUZZ_SEED', '1'))  # fixed: the same sources try the same inputs; 0: other ones
SLICE_SECONDS = 1800            # all together; a target that is cut off for it says so
LEAST_SECONDS = 90              # but each has so much
INPUT_SECONDS = 120             # one input, when others want the processors
FLOOR = RUNS // 10              # fewer than these before the cap: too slow to mean anything
# Only the order; others follow.
SLOW_FIRST = ('varlink', 'varlink-port', 'ctl-reply', 'config', 'owners-maps', 'owners-request')
# Bytes of an input: what the parser can meet fits in few, and longer ones only take longer.
LONGEST = collections.defaultdict(lambda: 512, {
    'varlink': 768, 'varlink-port': 768, 'ctl-reply': 768, 'owners-request': 768, 'config': 1024,
    'owners-reply': 2176, 'zoneinfo': 4096})
COVERED = 90                    # percent of each decoder's lines

# What outside input passes through. With names: only these functions of a file that does more.
DECODERS = {
    'util/json-build.c': None,
    'util/json-scan.c': None,
    'util/json.c': None,
    'util/text.c': None,
    'util/owners-protocol.c': None,
    'util/uevent.c': ('head_matches', 'uevent_parse'),
    'memory/block-text.c': None,
    'memory/iomem.c': None,
    'memory/pressure.c': None,
    'memory/room.c': ('find_value', 'meminfo_parse'),
    'memory/zoneinfo.c': None,
    'engine/worker-child.c': ('worker_record_decode', 'worker_record_encode'),
    'request/journal-record.c': None,
    'source/acpi-event.c': None,
    'front/varlink-message.c': None,
    'front/varlink-call.c': ('call_dispatch',),
    'front/varlink-service.c': None,
    'front/operation-arguments.c': None,
    'config-lines.c': None,
    'config.c': ('config_parse',),
    'config-settings.c': ('set_protect_blocks', 'merge_blocks', 'set_keep_free', 'set_retries', 'set_source',
                          'set_pressure_limit'),
    'owners/maps.c': None,
    'ctl/client.c': ('reply_parameters', 'reply_parse', 'buffer_reserve', 'buffer_take', 'client_take'),
    'ctl/job.c': ('view_uint', 'job_view', 'job_percent', 'job_bytes', 'known', 'at_most'),
    'ctl/output.c': ('utf8_length', 'utf8_next', 'is_unsafe', 'text_escape'),
}

running = set()                 # processes that fuzz
stopped = threading.Event()
Result = collections.namedtuple('Result', 'name runs seconds failure')


class Budget:
    """Shares what is left of the time among the targets that are left."""

    def __init__(self, targets, workers):
        self.end = time.monotonic() + SLICE_SECONDS
        self.left, self.workers, self.lock = targets, workers, threading.Lock()

    def take(self):
        with self.lock:
            remaining = self.end - time.monotonic()
            share = remaining * self.workers / self.left
            self.left -= 1
        # The slow ones come first and may have more than the mean; the fast ones leave theirs.
        return max(LEAST_SECONDS, int(min(6 * share, remaining)))


def programs(directory):
    """The targets as Meson has them: {name: program}."""
    targets = json.loads(product.run(['meson', 'introspect', '--targets', directory]))
    return {t['name'][5:]: t['filename'][0] for t in targets
            if t['type'] == 'executable' and t['name'].startswith('fuzz-')}


def corpus(name):
    return os.path.join(product.TOP, 'tests/fuzz/corpus', name)


def stop():
    """Ends those that still run; no other begins."""
    stopped.set()
    for process in list(running):
        process.kill()


def _when_idle():
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _run(argv, seconds, **options):
    """Only when nobody else wants the processors: (exit status, what it wrote to its standard error)."""
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               preexec_fn=_when_idle, **options)
    running.add(process)
    if stopped.is_set():
        process.kill()
    try:
        said = process.communicate(timeout=seconds)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        said = process.communicate()[1] + b'\nno end within %d s' % seconds
    finally:
        running.discard(process)
    return process.returncode, said.decode(errors='replace')


def fuzz(name, program, grown, findings, budget):
    """One target, RUNS times or as long as it may. What it finds is kept below findings."""
    env = dict(os.environ, ASAN_OPTIONS='quarantine_size_mb=2:malloc_context_size=4:detect_leaks=1',
               UBSAN_OPTIONS='halt_on_error=1:print_stacktrace=1')
    cap = budget.take()
    begin = time.monotonic()
    status, said = _run([program, '-seed=%d' % SEED, '-runs=%d' % RUNS, '-max_total_time=%d' % cap,
                         '-timeout=%d' % INPUT_SECONDS, '-max_len=%d' % LONGEST[name], '-rss_limit_mb=1024',
                         '-print_final_stats=1',
                         '-entropic=0',     # what it gives in new lines is less than the sixth of the time it takes
                         '-artifact_prefix=%s/%s-' % (findings, name), grown, corpus(name)], cap + 300, env=env,
                        cwd=findings)
    seconds = time.monotonic() - begin
    runs = re.search(r'stat::number_of_executed_units:\s*(\d+)', said)
    runs = int(runs.group(1)) if runs else 0
    failure = ''
    if status:
        failure = said[-8000:] + '\nthe input is in ' + findings
    elif runs < RUNS and (runs < FLOOR or seconds < cap):
        failure = 'only %d executions in %.0f s\n%s' % (runs, seconds, said[-2000:])
    return Result(name, runs, seconds, failure)


def _count(record, functions):
    """[lines, reached lines] of one file in lcov's form; a line belongs to the function that began last."""
    starts = sorted((int(n), name.rsplit(':', 1)[-1]) for n, name in re.findall(r'^FN:(\d+),(.*)$', record, re.M))
    total = [0, 0]
    for line, count in re.findall(r'^DA:(\d+),(\d+)', record, re.M):
        owner = [name for n, name in starts if n <= int(line)][-1:]
        if functions is None or owner and owner[0] in functions:
            total[0] += 1
            total[1] += count != '0'
    return total


def covered_lines(directory, grown):
    """Lines and reached lines of each decoder: {file: (lines, reached)}."""
    found = programs(directory)
    raw = os.path.join(grown, 'raw')
    os.mkdir(raw)
    for name, program in found.items():
        env = dict(os.environ, LLVM_PROFILE_FILE=os.path.join(raw, name + '.profraw'))
        product.run([program, corpus(name), *filter(os.path.isdir, [os.path.join(grown, name)])], env=env)
    profile = os.path.join(grown, 'all.profdata')
    product.run(['llvm-profdata', 'merge', '-o', profile, *(os.path.join(raw, n) for n in os.listdir(raw))])
    objects = [a for program in found.values() for a in ('-object', program)][1:]
    out = product.run(['llvm-cov', 'export', '-format=lcov', '-instr-profile=' + profile, *objects])
    lines = {}
    for record in out.split('end_of_record'):
        path = re.search(r'^SF:(.*)$', record, re.M)
        path = os.path.realpath(os.path.join(directory, path.group(1))) if path else ''
        name = os.path.relpath(path, os.path.join(product.TOP, 'daemon')) if path else ''
        if name in DECODERS:
            lines[name] = _count(record, DECODERS[name])
    return {name: lines.get(name, [0, 0]) for name in DECODERS}


def check_coverage(directory, grown):
    notes, missing = [], []
    for name, (lines, reached) in covered_lines(directory, grown).items():
        percent = 100.0 * reached / lines if lines else 0.0
        notes.append('%5.1f %% of %3d lines: %s' % (percent, lines, name))
        if percent < COVERED:
            missing.append(notes[-1])
    if missing:
        raise checks.Failure('below %d %%:\n%s' % (COVERED, '\n'.join(missing)))
    return notes


def run(report, selection, built, timed):
    """built: whether the builds are there, by variant."""
    if not built.get('fuzz'):
        report('fuzz/all', '', 'fail', 'build/fuzz did not work')
        return
    findings = debian.cache_dir('fuzz-findings')
    found = programs(product.build_dir('fuzz'))
    wanted = [n for n in sorted(found, key=lambda n: (SLOW_FIRST + (n,)).index(n)) if selection.has('fuzz/' + n)]
    with tempfile.TemporaryDirectory(prefix='memunplug-fuzz-') as grown:
        for name in wanted:
            os.mkdir(os.path.join(grown, name))
        workers = os.cpu_count() or 1
        budget = Budget(len(wanted), workers)
        with concurrent.futures.ThreadPoolExecutor(max_workers=workers) as pool:
            futures = [pool.submit(fuzz, n, found[n], os.path.join(grown, n), findings, budget) for n in wanted]
            for future in concurrent.futures.as_completed(futures):
                r = future.result()
                what = '%d executions' % r.runs + (', cut off by time' if r.runs < RUNS else '')
                report('fuzz/' + r.name, what, 'fail' if r.failure else 'ok', r.failure, r.seconds)
        if selection.has('fuzz/coverage'):
            if built.get('coverage'):
                timed(report, 'fuzz/coverage', '%d %% of the decoders\' lines' % COVERED, check_coverage,
                      product.build_dir('coverage'), grown)
            else:
                report('fuzz/coverage', '', 'fail', 'build/coverage did not work')
