# SPDX-License-Identifier: MIT
"""Many grants that live for seconds, in one mount, each watched by a process that does nothing but look for a byte after the end: in a file it
holds open, in a mapping, by opening anew, by listing. Usage: test_ends.py ROUNDS (ten grants each)"""
import json
import mmap
import os
import subprocess
import sys
import time

from world import EKEYEXPIRED, World, check, entries

ROUNDS = int(sys.argv[1])
JOBS = 10
LIMIT = 1.0  # seconds after the end within which everything must be closed

# Reads in a tight loop, each in its own way; says when it last got a byte, and what it got instead.
WATCHER = r'''
import json, mmap, os, sys, time
folder, how, until = sys.argv[1], sys.argv[2], float(sys.argv[3])
stop = until + 2.0
last, errors, count = 0, set(), 0
names = None
while names is None:
    try:
        names = sorted(os.listdir(folder + '/photos'))
    except OSError:
        if time.time() > stop:
            print(json.dumps([0, [], 0])); sys.exit(0)
        time.sleep(0.005)
path = folder + '/photos/' + names[0]
if how == 'map':
    # The reader of the mapping is a child: its end by SIGBUS is the good end, told by the time of its last read in shared memory.
    shared = mmap.mmap(-1, 4096)
    pid = os.fork()
    if pid == 0:
        fd = os.open(path, os.O_RDONLY)
        m = mmap.mmap(fd, os.fstat(fd).st_size, prot=mmap.PROT_READ)
        size = len(m)
        at = 0
        while time.time() < stop:
            m[at]
            t = time.time()
            time.sleep(0.0003)
            shared[0:8] = int(t * 1e6).to_bytes(8, 'little')
            at = (at + 4096) % size
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    last = int.from_bytes(shared[0:8], 'little') / 1e6
    errors.add(-os.WTERMSIG(status) if os.WIFSIGNALED(status) else 1000 + os.WEXITSTATUS(status))
    count = 1
else:
    fd = os.open(path, os.O_RDONLY) if how == 'held' else -1
    while time.time() < stop:
        try:
            if how == 'held':
                got = os.pread(fd, 4096, 0)
            elif how == 'open':
                with open(path, 'rb') as f:
                    got = f.read(4096)
            else:
                got = os.listdir(folder + '/photos')
            t = time.time()
            if got:
                last, count = t, count + 1
            time.sleep(0.0003)  # two cores, forty of us
        except OSError as e:
            errors.add(e.errno)
print(json.dumps([last, sorted(errors), count]))
'''


def round_of(world, station, enrol, mnt, number, refs):
    until = int(time.time()) + 6
    text = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(until))
    files, watchers = [], []
    for i in range(JOBS):
        listed = world.dir / f'list-{i}'
        listed.write_text('\n'.join(refs[i % len(refs):i % len(refs) + 2]) + '\n')
        # Half of them end a second later, so that ends happen while others live.
        end = text if i % 2 == 0 else time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(until + 1))
        grant = world.grant(enrol, job=f'r{number}-{i}', until=end, fields='photo,rank', records=('--list', listed))
        files += [grant, world.bundle(grant)]
        for how in ('held', 'map', 'open', 'list'):
            watchers.append((i, how, until + i % 2, subprocess.Popen(
                [sys.executable, '-c', WATCHER, str(mnt / f'r{number}-{i}'), how, str(until + i % 2)], stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL)))
    world.receive(station, *files)
    late = time.time() - until
    worst = {}
    for i, how, end, p in watchers:
        out, _ = p.communicate(timeout=60)
        if late > -1.0:
            continue  # this machine was too busy to set the round up in time: nothing is proved by it
        last, errors, count = json.loads(out)
        check(count > 0, f'{how} of job {i} saw its file before the end')
        worst[how] = max(worst.get(how, -9), last - end)
        check(last <= end + LIMIT, f'{how} of job {i}: a byte {last - end:.3f} s after the end')
        wanted = [-7] if how == 'map' else [EKEYEXPIRED]
        check(errors == wanted, f'{how} of job {i}: {errors} instead of {wanted}')
    return worst


world = World(records=8)
station, enrol = world.station()
refs = sorted(t['ref'] for t in world.truth)
mnt = world.mount(station)
worst, proved = {}, 0
for number in range(ROUNDS):
    one = round_of(world, station, enrol, mnt, number, refs)
    proved += len(one) > 0
    for how, seconds in one.items():
        worst[how] = max(worst.get(how, -9), seconds)
check(proved > 0, 'at least one round was set up in time')
world.unmount(mnt)
log = entries(station / 'log')
check(sum(e['event'] == 'expire' for e in log) == ROUNDS * JOBS, 'each end is in the log')
world.keytool('audit', 'verify', '--enrol', enrol, station / 'log')
print(f'{proved * JOBS} ends; last byte after the end, in seconds: ' + ', '.join(f'{h} {s:.3f}' for h, s in sorted(worst.items())))
