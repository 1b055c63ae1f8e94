#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What one operation costs, in what no other program on the machine can change: requests that the kernel sends, system calls and flushes of the daemon, messages
it sends by itself, and instructions. Compared with cost.json beside this file, so that the cost of an operation does not creep up.

    meson test -C build cost                          compares
    meson test -C build cost --verbose                shows the table
    COST_WRITE=tests/bench/cost.json meson test ...   writes it anew, after a change that is meant to cost more (or less: then too)

The daemon is vaultfs with clocks that stand still (still_clock.c): nothing falls due by time. It is warm: every thread runs, every folder was looked
into. One reader, one file after the other, so that no open shares its flush with another one. System calls are those that strace sees; futex and
what belongs to memory alone depend on who comes first, and are told but not compared. Requests and messages are read off the daemon's own
reads and writes of /dev/fuse. Instructions are counted by valgrind, which shows programs another processor, so they are compared only where compiler and libraries
are those of the table.
"""
import collections
import json
import os
import pathlib
import platform
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / 'mounted'))
from world import CARD_PRINT_TEXT, World, check, skip  # noqa: E402

RECORDS = 40
WARM = 8          # records that are only for warming up
MEASURED = 16     # records a workload
LISTINGS = 5
INSTRUCTIONS = 5  # per cent that the number of instructions may differ,
TICKS = 150000    # and so many in all: what the daemon's other threads do once a second

OPCODES = {1: 'LOOKUP', 2: 'FORGET', 3: 'GETATTR', 14: 'OPEN', 15: 'READ', 17: 'STATFS', 18: 'RELEASE', 22: 'GETXATTR', 25: 'FLUSH', 26: 'INIT',
           27: 'OPENDIR', 28: 'READDIR', 29: 'RELEASEDIR', 34: 'ACCESS', 36: 'INTERRUPT', 42: 'BATCH_FORGET', 44: 'READDIRPLUS', 46: 'LSEEK'}
NOTIFICATIONS = {2: 'INVAL_INODE', 3: 'INVAL_ENTRY', 4: 'STORE'}
# Whether a thread has to wait, and whether memory is asked of the kernel, is chance.
CHANCE = {'futex', 'mmap', 'munmap', 'mprotect', 'madvise', 'brk', 'clone3', 'clone', 'rseq', 'set_robust_list', 'rt_sigprocmask', 'sched_yield',
          'restart_syscall', 'gettid', 'exit', 'prctl', 'sched_getaffinity', 'sched_setaffinity', 'getrandom', 'clock_nanosleep', 'exit_group'}


def hexed(text):
    """The bytes of a string that strace -x shows as \\x01\\x02..."""
    return bytes(int(h, 16) for h in re.findall(r'\\x([0-9a-f]{2})', text))


# The daemon forbids that others look into it; root may.
AS_ROOT = [] if os.geteuid() == 0 else ['sudo', '-n']


# Meson has memory filled with a pattern in tests: that would be counted too.
os.environ.pop('MALLOC_PERTURB_', None)


class Counts:
    """System calls, requests and notifications in lines that strace wrote."""

    def __init__(self, lines):
        self.calls = collections.Counter()
        self.requests = collections.Counter()
        self.told = collections.Counter()
        for line in lines:
            m = re.match(r'([a-z0-9_]+)\(', line)
            if not m:
                continue
            name = m.group(1)
            self.calls[name] += 1
            if '</dev/fuse' not in line[:48]:
                continue
            data = hexed(line)
            if name == 'read' and len(data) >= 8 and not re.search(r'= -1', line):
                self.requests[OPCODES.get(struct.unpack_from('<I', data, 4)[0], 'other')] += 1
            elif name in ('write', 'writev') and len(data) >= 16:
                length, code, unique = struct.unpack_from('<IiQ', data)
                if unique == 0:
                    self.told[NOTIFICATIONS.get(code, 'other')] += 1

    def per(self, n):
        """As it stands in the table, for n operations."""
        def each(counter):
            return {k: round(v / n, 4) for k, v in sorted(counter.items()) if v}
        flushes = sum(self.calls[c] for c in ('fsync', 'fdatasync', 'sync_file_range', 'syncfs', 'sync', 'msync'))
        return {'requests': each(self.requests), 'messages': each(self.told), 'flushes': round(flushes / n, 4),
                'calls': each({k: v for k, v in self.calls.items() if k not in CHANCE}),
                'chance': round(sum(v for k, v in self.calls.items() if k in CHANCE) / n, 2)}


class Strace:
    """Attached to a running daemon, one file a thread: then no line is cut in two by another."""

    def __init__(self, world, pid):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix='strace-', dir=world.dir))
        self.at = {}  # how far each file was read
        self.process = subprocess.Popen([*AS_ROOT, 'strace', '-q', '-f', '-ff', '-y', '-x', '-s', '16', '-o', self.dir / 't', '-p', str(pid)], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True)
        threads = len(os.listdir(f'/proc/{pid}/task'))
        self.pid = pid
        for _ in range(500):
            if self.process.poll() is not None:
                skip(f'strace cannot look at the daemon: {self.process.stderr.read().strip()}')
            if len(list(self.dir.iterdir())) >= threads and self.traced():
                break
            time.sleep(0.01)
        else:
            check(False, 'strace sees every thread of the daemon')
        self.take()

    def traced(self):
        return all('TracerPid:\t0' not in pathlib.Path(f'/proc/{self.pid}/task/{t}/status').read_text() for t in os.listdir(f'/proc/{self.pid}/task'))

    def size(self):
        return sum(f.stat().st_size for f in self.dir.iterdir())

    def take(self):
        """Counts since the last time, once the daemon is quiet: the last RELEASE comes after the last close."""
        last, since = -1, time.monotonic()
        while time.monotonic() - since < 0.08:
            if self.size() != last:
                last, since = self.size(), time.monotonic()
            time.sleep(0.01)
        lines = []
        for f in self.dir.iterdir():
            text = f.read_text(errors='replace')
            done = text.rfind('\n') + 1
            lines += text[self.at.get(f.name, 0):done].split('\n')
            self.at[f.name] = done
        # What a thread began before and ended in this stretch counts here: a blocked read of /dev/fuse is the request it got.
        return Counts(lines)


class Callgrind:
    """The daemon under valgrind, asked for its count of instructions between two moments."""

    def __init__(self, world, station, where, options):
        self.out = world.dir / f'{where.name}-callgrind'
        self.out.mkdir()
        self.where = where
        # A Python parent would count too, were it the child of the fork: only the daemon itself runs here, in the foreground.
        self.process = subprocess.Popen(['valgrind', '-q', '--tool=callgrind', '--combine-dumps=no', f'--callgrind-out-file={self.out}/out',
                                         '--vgdb-poll=0', f'--vgdb-prefix={self.out}/vgdb', os.environ['VAULTFS_STILL'], '-f', *options, station, where],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        world.mounts.append((where, None))
        for _ in range(3000):
            if os.path.exists(where / 'cards') or self.process.poll() is not None:
                break
            time.sleep(0.01)
        check(self.process.poll() is None and os.path.exists(where / 'cards'), 'the daemon runs under valgrind')
        self.dumps = 0

    def ask(self, what):
        return subprocess.run([*AS_ROOT, 'vgdb', f'--vgdb-prefix={self.out}/vgdb', f'--pid={self.process.pid}', '--wait=10', what], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=30)

    def take(self):
        """Instructions since the last time; None: valgrind cannot be asked here."""
        time.sleep(0.1)
        self.dumps += 1
        if self.ask('dump').returncode:
            return None
        for path in sorted(self.out.glob('out*'), key=lambda p: p.stat().st_mtime_ns, reverse=True):
            text = path.read_text(errors='replace')
            if f'part: {self.dumps}\n' in text:
                return sum(int(n) for n in re.findall(r'^(?:totals|summary): (\d+)', text, re.M)[-1:])
        return None


class Workloads:
    """The same operations under strace and under valgrind. Each takes records that were not read before."""

    def __init__(self, world, where):
        self.world, self.job = world, where / 'cards'
        self.refs = [t['ref'] for t in world.truth]  # in the order of the CSV: always the same photos, whatever their refs

    def read(self, paths):
        listed = self.world.dir / 'list'
        listed.write_text(''.join(f'{p}\n' for p in paths))
        out = json.loads(self.world.run(os.environ['BENCH_READER'], listed, self.job).stdout)
        check(out['files'] == len(paths) and out['bytes'] > 0, 'the reader reads all files')
        return len(paths)

    def photos(self, refs):
        return [f'photos/{r}.JPG' for r in refs]

    def texts(self, refs):
        return [f'records/{r}/{f}' for f in CARD_PRINT_TEXT for r in refs]

    def warm(self):
        first = self.refs[:WARM]
        # Several at once, so that every thread that will ever be needed has started.
        listed = self.world.dir / 'list'
        listed.write_text(''.join(f'{p}\n' for p in self.photos(first) + self.texts(first)))
        self.world.run(os.environ['BENCH_READER'], '-n', '8', '-t', '4', listed, self.job)
        self.world.run('ls', '-l', self.job)

    def again(self):
        """The same of what was read before, with cache=grant: the pages are there."""
        known = self.refs[WARM:WARM + MEASURED]
        self.read(self.photos(known) + self.texts(known))
        return [('photo again', 'open, read, close a photo that was read before (cache=grant)', lambda: self.read(self.photos(known))),
                ('text again', 'open, read, close one text field that was read before (cache=grant)', lambda: self.read(self.texts(known)))]

    def all(self):
        """Name, what one operation is, and a function that does it and says how many they were. In this order: a listing makes names known."""
        new, known = self.refs[WARM:WARM + MEASURED], self.refs[WARM + MEASURED:WARM + 2 * MEASURED]
        return [('photo by name', 'open, read, close a photo whose name the kernel has not asked for yet', lambda: self.read(self.photos(new))),
                ('text by name', 'open, read, close one text field whose name the kernel has not asked for yet', lambda: self.read(self.texts(new))),
                ('list', f'ls -l of the folder photos ({RECORDS} files)', lambda: self.list(1)),
                ('list records', f'ls -lR of the folder records ({RECORDS} folders)', lambda: self.list(1, '-R', 'records')),
                ('list again', 'ls -l of the folder photos, which was listed before', lambda: self.list(LISTINGS)),
                ('list records again', 'ls -lR of the folder records, which was listed before', lambda: self.list(LISTINGS, '-R', 'records')),
                ('photo', 'open, read, close a photo; its name is known', lambda: self.read(self.photos(known))),
                ('text', 'open, read, close one text field; its name is known', lambda: self.read(self.texts(known))),
                ('cards.csv', f'open, read, close cards.csv ({RECORDS} rows)', lambda: self.read(['cards.csv']))]

    def list(self, times, option='-l', folder='photos'):
        for _ in range(times):
            self.world.run('ls', '-l', option, self.job / folder)
        return times


def versions():
    def package(name):
        p = subprocess.run(['dpkg-query', '-W', '-f=${Version}', name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return p.stdout or 'unknown'
    cpu = pathlib.Path('/proc/cpuinfo').read_text()
    return {'machine': platform.machine(), 'avx2': ' avx2 ' in cpu, 'compiler': os.environ['BENCH_COMPILER'], 'build': os.environ['BENCH_BUILD'],
            **{p: package(p) for p in ('libc6', 'libsodium23', 'libssl3', 'liblmdb0', 'libfuse3-3', 'valgrind')}}


def compare(name, now, then):
    """What is dearer, or cheaper and thus to be written down."""
    out = []
    for what in ('requests', 'messages', 'flushes', 'calls'):
        if now[what] != then[what]:
            out.append(f'{name}: {what} were {json.dumps(then[what])} and are {json.dumps(now[what])}')
    # Waking and waiting: never more than this beside what is exact.
    if now['chance'] > then['chance'] * 1.5 + 12:
        out.append(f'{name}: futex and memory: {then["chance"]} calls before, {now["chance"]} now')
    return out


def compare_instructions(now, before):
    """Each is: instructions an operation, operations."""
    out = []
    if now is None:
        return out
    for name, count in now.items():
        then = before.get(name)
        if then and abs(count[0] - then[0]) > then[0] * INSTRUCTIONS / 100 + TICKS / then[1]:
            out.append(f'{name}: {then[0]} instructions before, {count[0]} now ({100 * count[0] / then[0] - 100:+.1f} %)')
    return out


# Options of the mount, and what is done in it.
MOUNTS = [((), Workloads.all), (('-o', 'cache=grant'), Workloads.again)]


def count_calls(world, station):
    table = {}
    for options, workloads in MOUNTS:
        where = world.mount(station, exe='VAULTFS_STILL', options=options)
        work = Workloads(world, where)
        work.warm()
        strace = Strace(world, world.pid_of(where))
        for name, what, act in workloads(work):
            strace.take()
            n = act()
            table[name] = {'what': what, **strace.take().per(n)}
        world.unmount(where)
        strace.process.wait()
    return table


def count_instructions(world, station):
    out = {}
    for i, (options, workloads) in enumerate(MOUNTS):
        where = world.dir / f'callgrind-mnt-{i}'
        where.mkdir()
        callgrind = Callgrind(world, station, where, options)
        work = Workloads(world, where)
        work.warm()
        if callgrind.take() is None:
            print('instructions are not compared: valgrind cannot be asked for its numbers here (its vgdb needs to trace the daemon)')
            return None
        for name, _, act in workloads(work):
            callgrind.take()
            n = act()
            out[name] = [round(callgrind.take() / n), n]
        world.unmount(where)
        callgrind.process.wait()
    return out


def main():
    for program in ('strace', 'valgrind'):
        if not shutil.which(program):
            skip(f'{program} is not installed')
    if AS_ROOT and (not shutil.which('sudo') or subprocess.run([*AS_ROOT, 'true'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode):
        skip('only root may look into a daemon that forbids it, and there is no sudo that asks for no password')
    if 'sanitized' in os.environ['BENCH_BUILD']:
        skip('a sanitizer makes system calls of its own')
    # With one processor nothing is looked for ahead: whether the next photo is fetched in time, and by whom, is chance.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    world = World(records=RECORDS)
    station, enrol = world.station()
    world.deliver(station, enrol)
    table = {'about': 'per operation; see cost.py', 'workloads': count_calls(world, station)}
    table['versions'] = versions()
    table['instructions'] = count_instructions(world, station)
    print(json.dumps(table, indent=1))
    if os.environ.get('COST_WRITE'):
        pathlib.Path(os.environ['COST_WRITE']).write_text(json.dumps(table, indent=1) + '\n')
        return
    before = json.loads((HERE / 'cost.json').read_text())
    wrong = []
    for name, now in table['workloads'].items():
        wrong += compare(name, now, before['workloads'][name])
    if before['versions'] == table['versions']:
        wrong += compare_instructions(table['instructions'], before['instructions'] or {})
    else:
        differ = [f'{k} {v} instead of {before["versions"].get(k)}' for k, v in table['versions'].items() if v != before['versions'].get(k)]
        print(f'instructions are not compared: {"; ".join(differ)}')
    check(not wrong, '\n  '.join(['an operation costs another number than tests/bench/cost.json says; if that is meant, see the head of cost.py'] + wrong))


main()
