# SPDX-License-Identifier: MIT
"""Whoever kills a mount before its last second is sealed, and takes that second out of the log: the next mount says so, and so does
verification. A limited grant gives nothing before what it gave is sealed: there is nothing to take."""
import errno
import os
import signal
import time

from world import World, check, entries, errno_of, read

world = World(records=12)
station, enrol = world.station()
world.deliver(station, enrol, until='+6h')
world.deliver(station, enrol, job='limited', until='+6h', extra=('--budget', '3'))
log = station / 'log'
mnt = world.dir / 'mnt'
mnt.mkdir()


def last_segment():
    return sorted(log.glob('entries-*'))[-1]


def killed(job, names):
    """Mount, wait for the seal, read, kill -9, and cut the log back to where it was sealed. How many could be read."""
    world.mount(station, where=mnt)
    pid = world.pid_of(mnt)
    time.sleep(1.1)
    segment = last_segment()
    size, sealed = segment.stat().st_size, (log / 'checkpoints').stat().st_size
    got = sum(errno_of(lambda n=n: read(mnt / job / 'photos' / n)) == 0 for n in names)
    os.kill(pid, signal.SIGKILL)
    world.run('fusermount3', '-u', '-z', mnt, expect=None)
    world.mounts.clear()
    time.sleep(.2)
    if (log / 'checkpoints').stat().st_size == sealed:
        with open(segment, 'r+b') as f:
            f.truncate(size)
    return got


photos = [f'{t["ref"]}.JPG' for t in world.truth]
for n in range(1):
    check(killed('cards', photos[n * 4:n * 4 + 4]) == 4, 'four photos are read')

# Orderly, twice: the first finds the kill, the second finds nothing.
for _ in range(2):
    m = world.mount(station, where=mnt)
    time.sleep(.2)
    world.unmount(m)
found = [e['event'] for e in entries(log)]
check(found.count('recover') == 1, f'a kill is told by a recover entry, an orderly end by none: {found}')
verdict = world.keytool('audit', 'verify', '--enrol', enrol, log, expect=None).stdout
check('1 mount ended without an orderly end' in verdict and '1024 openings' in verdict, f'verification says so: {verdict}')

# The budget: three photos at all, however often the mount is killed.
total = sum(killed('limited', photos[n * 3:n * 3 + 3]) for n in range(2))
check(total == 3, f'a budget of 3 gives 3, not {total}')
world.mount(station, where=mnt)
check(errno_of(lambda: read(mnt / 'limited' / 'photos' / photos[11])) == errno.EDQUOT, 'and none after that')
world.unmount(mnt)
print("a mount that was killed is told, and a budget is not won back")
