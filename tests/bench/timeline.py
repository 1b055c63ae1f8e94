#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Where the time of one open goes: the kernel's own trace of requests and system calls while one reader opens photos (or text fields) one by one. Run by
hand, as root, on a quiet machine:

    tests/bench/timeline.py build MOUNT LIST [--files 300]

MOUNT is a running mount of vaultfs, LIST has one path a line, relative to it (bench-reader's list). Needs tracefs with the events of fuse and
raw_syscalls. For each request the time from its sending to its answer; for OPEN the steps between: of the thread that answers it, and of the thread
that writes the log. Medians over all files, in microseconds from the sending of OPEN.
"""
import argparse
import collections
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument('build')
parser.add_argument('mount')
parser.add_argument('list')
parser.add_argument('--files', type=int, default=300)
args = parser.parse_args()
build = pathlib.Path(args.build).resolve()
TRACING = pathlib.Path('/sys/kernel/tracing')
NAMES = {0: 'read', 1: 'write', 18: 'pwrite64', 20: 'writev', 75: 'fdatasync', 74: 'fsync', 89: 'readlink', 202: 'futex', 262: 'newfstatat', 234: 'tgkill', 439: 'faccessat2'}


def put(name, text):
    (TRACING / name).write_text(text)


def trace():
    if not (TRACING / 'events/fuse/fuse_request_send').exists():
        sys.exit('no tracefs with the events of fuse (as root: mount -t tracefs tracefs /sys/kernel/tracing)')
    pid = json.loads(subprocess.run([build / 'vaultfs/vaultfs', 'status', '--json', args.mount], stdout=subprocess.PIPE, check=True).stdout)['pid']
    paths = pathlib.Path(args.list).read_text().splitlines()
    (pathlib.Path(args.list).with_suffix('.some')).write_text('\n'.join(paths[:args.files]) + '\n')
    threads = os.listdir(f'/proc/{pid}/task')
    put('tracing_on', '0')
    put('trace', '')
    put('trace_clock', 'mono')
    put('buffer_size_kb', '32768')
    only = ' || '.join(f'common_pid == {t}' for t in threads)
    for event in ('sys_enter', 'sys_exit'):
        put(f'events/raw_syscalls/{event}/filter', only)
        put(f'events/raw_syscalls/{event}/enable', '1')
    for event in ('fuse_request_send', 'fuse_request_end'):
        put(f'events/fuse/{event}/enable', '1')
    try:
        put('tracing_on', '1')
        subprocess.run([build / 'tests/bench/bench-reader', pathlib.Path(args.list).with_suffix('.some'), args.mount], check=True)
    finally:
        put('tracing_on', '0')
        for event in ('raw_syscalls/sys_enter', 'raw_syscalls/sys_exit', 'fuse/fuse_request_send', 'fuse/fuse_request_end'):
            put(f'events/{event}/enable', '0')
        for event in ('sys_enter', 'sys_exit'):
            put(f'events/raw_syscalls/{event}/filter', '0')
    return (TRACING / 'trace').read_text()


def events(text):
    """Time in microseconds, thread, what."""
    for line in text.splitlines():
        m = re.match(r'\s*(.+)-(\d+)\s+\[\d+\]\s+\S+\s+([\d.]+): (\w+): (.*)', line)
        if m:
            yield float(m.group(3)) * 1e6, int(m.group(2)), m.group(4), m.group(5)


def named(rest):
    return NAMES.get(int(re.search(r'NR (\d+)', rest).group(1)), 'other')


class Steps:
    """What happened between the sending of OPEN and its answer, of the two threads that matter."""

    def __init__(self, writer):
        self.writer, self.at = writer, collections.OrderedDict()

    def add(self, opened, ended, calls):
        # The thread that asks who the caller is, is the one that answers; others are busy with the RELEASE of the file before.
        opener = next((thread for _, thread, _, name in calls if name == 'readlink'), None)
        seen = collections.Counter()
        for at, thread, event, name in calls:
            who = 'opener' if thread == opener else 'log' if thread == self.writer else None
            if who is None or (who == 'opener' and name == 'read' and event == 'sys_enter'):
                continue
            what = f'{name} {"begins" if event == "sys_enter" else "ends"}'
            seen[who, what] += 1
            self.at.setdefault((who, what if seen[who, what] == 1 else f'{what} ({seen[who, what]})'), []).append(at - opened)
        self.at.setdefault(('kernel', 'OPEN is answered'), []).append(ended - opened)


def main():
    requests = collections.defaultdict(list)
    told = list(events(trace()))
    writers = collections.Counter(thread for _, thread, event, rest in told if event == 'sys_enter' and named(rest) == 'pwrite64').most_common(1)
    steps = Steps(writers[0][0] if writers else None)
    sent, opened, calls = {}, None, []
    for at, thread, event, rest in told:
        if event == 'fuse_request_send':
            unique, opcode = re.search(r'req (\d+) opcode \d+ \((\w+)\)', rest).groups()
            sent[unique] = (at, opcode)
            if opcode == 'FUSE_OPEN':
                opened, calls = at, []
        elif event == 'fuse_request_end':
            began, opcode = sent.pop(re.search(r'req (\d+)', rest).group(1), (None, None))
            if began:
                requests[opcode].append(at - began)
            if opcode == 'FUSE_OPEN' and opened:
                steps.add(opened, at, calls)
                opened = None
        elif opened and event in ('sys_enter', 'sys_exit'):
            calls.append((at, thread, event, named(rest)))
    n = len(requests['FUSE_OPEN'])
    print('request                     number   median us')
    for opcode, took in sorted(requests.items()):
        print(f'{opcode:<26} {len(took):>7} {statistics.median(took):>11.1f}')
    print('\nus after the sending of OPEN (median)   step (of so many in a hundred opens)')
    for (who, what), at in sorted(steps.at.items(), key=lambda s: statistics.median(s[1])):
        if len(at) >= n / 5:
            print(f'{statistics.median(at):>9.1f}   {who:<8}{what:<36} {100 * len(at) // n:>4}')


main()
