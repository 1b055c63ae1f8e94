# SPDX-License-Identifier: MIT
"""kill -9 at random instants under four readers: every file a reader finished has its durable entry, the log verifies, the mount point
cleans and mounts again. Usage: test_kill.py ROUNDS"""
import os
import random
import signal
import subprocess
import sys
import time

from world import World, check, entries

ROUNDS = int(sys.argv[1])
SEED = int(os.environ.get('VAULTFS_TEST_SEED', '1'))

READER = r'''
import os, sys, random
folder, out, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
rng = random.Random(seed)
names = [l.strip() for l in open(sys.argv[4])]
log = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
while True:
    name = rng.choice(names)
    try:
        with open(os.path.join(folder, name), 'rb') as f:
            data = f.read()
    except OSError:
        sys.exit(0)
    os.write(log, (name[:8] + ' ' + str(len(data)) + '\n').encode())
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
finished_all, totals = 0, {}
for i in range(ROUNDS):
    world.mount(station, where=mnt)
    pid = world.pid_of(mnt)
    outs = [world.dir / f'out-{i}-{r}' for r in range(4)]
    readers = [subprocess.Popen([sys.executable, '-c', READER, str(mnt / 'cards/photos'), str(o), str(i * 4 + r),
                                 str(world.dir / 'names')], stderr=subprocess.DEVNULL) for r, o in enumerate(outs)]
    time.sleep(0.05 + rng.random() * 0.4)
    os.kill(pid, signal.SIGKILL)
    for r in readers:
        check(r.wait(timeout=20) is not None, 'no reader hangs')
    subprocess.run(['fusermount3', '-u', '-z', str(mnt)], check=True)
    world.mounts.clear()
    finished = [line.split() for o in outs if o.exists() for line in o.read_text().splitlines()]
    for ref, size in finished:
        check(int(size) == sizes[ref], 'what was read was whole')
    world.keytool('audit', 'verify', '--enrol', enrol, station / 'log')
    text = b''.join(p.read_bytes() for p in sorted((station / 'log').glob('entries-*')))
    opens = {}
    for line in text.split(b'\n'):
        if b'"event":"open"' in line and line.endswith(b'}'):
            ref = line.split(b'"refs":["')[1][:8].decode()
            opens[ref] = opens.get(ref, 0) + 1
    need = {}
    for ref, _ in finished:
        need[ref] = need.get(ref, 0) + 1
    finished_all += len(finished)
    for ref, n in need.items():
        totals[ref] = totals.get(ref, 0) + n
        check(opens.get(ref, 0) >= totals[ref], f'{ref}: finished {totals[ref]} times, logged {opens.get(ref, 0)} times')
check(finished_all > ROUNDS, 'the readers did read')
world.mount(station, where=mnt)
world.unmount(mnt)
world.keytool('audit', 'verify', '--enrol', enrol, station / 'log')
check(any(e['event'] == 'recover' for e in entries(station / 'log')), 'recovery is told')
print(f'{ROUNDS} kills, {finished_all} files finished, each in the log')
