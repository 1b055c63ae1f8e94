#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How fast a big log is verified, searched, exported and proven from. Run by hand, on a quiet machine:

    ninja -C build tests/bench/big-log keytool/keytool && tests/bench/audit.py build [--entries 10000000] [--folder /dev/shm] [--old OTHER/keytool]

Writes a log of that many entries into the folder (400 bytes each) unless it is there already, and removes it unless --keep. Prints the
median of three runs, the processor time, and the most memory a run took. With --old, verify of another keytool in turn with this one.
"""
import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument('build')
parser.add_argument('--entries', type=int, default=10_000_000)
parser.add_argument('--folder', default='/dev/shm')
parser.add_argument('--old')
parser.add_argument('--keep', action='store_true')
parser.add_argument('--runs', type=int, default=3)
args = parser.parse_args()
build = pathlib.Path(args.build).resolve()
keytool = str(build / 'keytool/keytool')
place = pathlib.Path(args.folder) / f'vaultfs-bench-{args.entries}'
log = place / 'log'


def run(program, *arguments):
    """Seconds, processor seconds, megabytes; only the program itself counts."""
    started = time.perf_counter()
    process = subprocess.Popen([program, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    took = time.perf_counter() - started
    if status != 0:
        sys.exit(f'{program} {arguments}: status {status}')
    return took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def show(name, runs):
    seconds = statistics.median(r[0] for r in runs)
    spent = statistics.median(r[1] for r in runs)
    print(f'{name:<34} {seconds:7.2f} s  {entries / seconds / 1e6:6.2f} million entries/s  {spent:7.2f} s of processors  '
          f'{max(r[2] for r in runs):5.0f} MB', flush=True)


def first_line():
    """Until a first line is seen of show --ref: what somebody waits for."""
    started = time.perf_counter()
    process = subprocess.Popen([keytool, 'audit', 'show', '--ref', ref, log], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.stdout.readline()
    took = time.perf_counter() - started
    process.stdout.close()
    process.kill()
    process.wait()
    return took


if not log.exists():
    print(f'writing {args.entries} entries', flush=True)
    subprocess.run([build / 'tests/bench/big-log', place, str(args.entries), '47000', '365'], check=True)
segments = sorted(log.glob('entries-*'))
with open(segments[-1], 'rb') as f:
    f.seek(-2000, 2)
    lines = f.read().splitlines()
entries = args.entries
ref = next(line.split(b'"refs":["')[1][:8].decode() for line in reversed(lines) if b'"refs":["' in line)
size = sum(s.stat().st_size for s in segments)
print(f'{size / 1e9:.2f} GB in {len(segments)} segments, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}')
for s in segments:  # into memory, as far as it goes
    with open(s, 'rb') as f:
        while f.read(1 << 22):
            pass
if args.old:
    pairs = [(run(args.old, 'audit', 'verify', log), run(keytool, 'audit', 'verify', log)) for _ in range(args.runs)]
    show('verify, the other', [p[0] for p in pairs])
    show('verify', [p[1] for p in pairs])
else:
    show('verify', [run(keytool, 'audit', 'verify', log) for _ in range(args.runs)])
show('show --result none (told to each)', [run(keytool, 'audit', 'show', '--result', 'none', log) for _ in range(args.runs)])
print(f'{"show --ref: the first line after":<34} {statistics.median(first_line() for _ in range(args.runs)):7.2f} s')
show('show --ref --no-verify', [run(keytool, 'audit', 'show', '--no-verify', '--ref', ref, log) for _ in range(args.runs)])
show('show --ref, verified', [run(keytool, 'audit', 'show', '--ref', ref, log) for _ in range(args.runs)])
show('proof', [run(keytool, 'audit', 'proof', '--seq', args.entries // 3, log)])
for form in ('jsonl', 'csv'):
    show(f'export {form}', [run(keytool, 'audit', 'export', '--force', '--format', form, '-o', place / 'out', log)])
    (place / 'out').unlink()
if not args.keep:
    shutil.rmtree(place)
