# SPDX-License-Identifier: MIT
"""kill -9 at random instants under six readers: every file a reader finished has a durable entry of that reader, at most a second
older, the log verifies, the mount point cleans and mounts again. Usage: test_kill.py ROUNDS"""
import os
import random
import signal
import subprocess
import sys
import time

from world import World, check, entries, time_of

ROUNDS = int(sys.argv[1])
SEED = int(os.environ.get('VAULTFS_TEST_SEED', '1'))

READER = r'''
import os, sys, random, time
folder, out, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
rng = random.Random(seed)
names = [l.strip() for l in open(sys.argv[4])]
log = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
while True:
    name = rng.choice(names)
    began = time.time()
    try:
        with open(os.path.join(folder, name), 'rb') as f:
            data = f.read()
    except OSError:
        sys.exit(0)
    os.write(log, f'{os.getpid()} {name[:8]} {len(data)} {began} {time.time()}\n'.encode())
'''

world = World(records=40)
station, enrol = world.station()
world.deliver(station, enrol)
mnt = world.mount(station)
names = sorted(os.listdir(mnt / 'cards/photos'))
sizes = {n[:8]: os.stat(mnt / 'cards/photos' / n).st_size for n in names}
(world.dir / 'names').write_text('\n'.join(names))
world.unmount(mnt)
rng = random.Random(SEED)
finished_all = 0
for i in range(ROUNDS):
    world.mount(station, where=mnt)
    pid = world.pid_of(mnt)
    outs = [world.dir / f'out-{i}-{r}' for r in range(6)]
    readers = [subprocess.Popen([sys.executable, '-c', READER, str(mnt / 'cards/photos'), str(o), str(i * 6 + r),
                                 str(world.dir / 'names')], stderr=subprocess.DEVNULL) for r, o in enumerate(outs)]
    time.sleep(0.05 + rng.random() * 0.4)
    os.kill(pid, signal.SIGKILL)
    for r in readers:
        check(r.wait(timeout=20) is not None, 'no reader hangs')
    subprocess.run(['fusermount3', '-u', '-z', str(mnt)], check=True)
    world.mounts.clear()
    finished = [line.split() for o in outs if o.exists() for line in o.read_text().splitlines()]
    world.keytool('audit', 'verify', '--enrol', enrol, station / 'log')
    told = {}
    for e in entries(station / 'log', torn=True):
        if e['event'] == 'open':
            told.setdefault((e['pid'], e['refs'][0]), []).append(time_of(e))
    for pid, ref, size, began, ended in finished:
        check(int(size) == sizes[ref], 'what was read was whole')
        # Its own entry, or that of an open of the same file by the same process within the second before: then only a count was lost.
        check(any(float(began) - 1 <= t <= float(ended) for t in told.get((int(pid), ref), [])), f'{ref}: read by {pid}, and no entry covers it')
    finished_all += len(finished)
check(finished_all > ROUNDS, 'the readers did read')
world.mount(station, where=mnt)
world.unmount(mnt)
world.keytool('audit', 'verify', '--enrol', enrol, station / 'log')
check(any(e['event'] == 'recover' for e in entries(station / 'log')), 'recovery is told')
print(f'{ROUNDS} kills, {finished_all} files finished, each in the log')
