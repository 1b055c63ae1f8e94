#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Pages that are in the kernel's cache already: an open that finds them looks at no stored value, but is refused and logged as every other; a page
that the kernel has let go is checked when it comes back; and after a lapse or an end nothing counts as being there. Stored values are damaged under the
running mount, so that it shows whether somebody looked at them."""
import errno
import os
import pathlib
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / 'reader'), str(HERE.parent / 'attack')]

from clockfile import Clock  # noqa: E402
from desk import DeskWorld  # noqa: E402
from world import EKEYEXPIRED, check, entries, errno_of, read, skip  # noqa: E402

try:
    import lmdb  # noqa: F401
except ImportError:
    skip('python3-lmdb is not installed')
import reader  # noqa: E402
import thief  # noqa: E402

PHOTO = reader.NUMBER['photo']
PAGE = 4096
world = DeskWorld(records=8)
clock = Clock(world.dir / 'clock')


class Job:
    """A station with one job, mounted; what its photos are."""

    def __init__(self, name, options, **grant):
        self.station, enrol = world.station(name)
        self.grant, _ = world.deliver(self.station, enrol, job=name, **grant)
        self.parsed = reader.Grant(self.grant.read_bytes())
        self.name, self.options = name, options
        self.mount()

    def mount(self):
        self.mnt = world.mount(self.station, exe='VAULTFS_CLOCK', env={'VAULTFS_TEST_CLOCK': str(clock.path)}, options=self.options)
        self.folder = self.mnt / self.name / 'photos'
        self.photos = sorted(os.listdir(self.folder))

    def path(self, i):
        return self.folder / self.photos[i]

    def damage(self, i):
        """One bit of the stored value, behind the mount's back."""
        ref = self.photos[i][:8]
        key = thief.value_key(ref, PHOTO, *self.parsed.rows[ref][PHOTO])
        with thief.Station(self.station).open() as db:
            value = bytearray(dict(db.rows('value'))[key])
            value[len(value) // 2] ^= 4
            db.put('value', key, bytes(value))

    def events(self, i, event, result):
        return [e for e in entries(self.station / 'log', torn=True)
                if e['event'] == event and e['result'] == result and e.get('refs') == [self.photos[i][:8]]]


def wait_for(what, condition, seconds=5):
    end = time.time() + seconds
    while not condition():
        check(time.time() < end, what)
        time.sleep(0.05)


def cat(path):
    """By a process of its own, so that its open has an entry of its own."""
    return subprocess.run(['cat', path], stdout=subprocess.PIPE, check=False).stdout


def evict(fd, at=0, length=0):
    os.posix_fadvise(fd, at, length, os.POSIX_FADV_DONTNEED)


def second_opener():
    """cache=close: only while the first has it open."""
    job = Job('close', ())
    with open(job.path(0), 'rb') as first:
        truth = first.read()
        job.damage(0)
        check(cat(job.path(0)) == truth, 'the second opener gets what the first one got')
    check(errno_of(lambda: os.open(job.path(0), os.O_RDONLY)) == errno.EIO, 'once all have closed it, it is looked at again')
    check(len({e['pid'] for e in job.events(0, 'open', 'ok')}) == 2, 'both opens have their entry')
    wait_for('and so has the failure', lambda: len(job.events(0, 'deny', 'EIO')) == 1)
    world.unmount(job.mnt)


def second_pass():
    job = Job('kept', ('-o', 'cache=grant'))
    truth = [read(job.path(i)) for i in range(6)]
    check(all(len(t) > 3 * PAGE for t in truth), 'the photos have several pages')
    for i in range(2):
        job.damage(i)
    for i in range(6):
        check(cat(job.path(i)) == truth[i], 'the second pass is served from the pages')
        check(len({e['pid'] for e in job.events(i, 'open', 'ok')}) == 2, 'and each open has its entry')

    # What the kernel has let go is checked before it comes back: the whole value, for one page too.
    fd = os.open(job.path(0), os.O_RDONLY)
    evict(fd)
    check(errno_of(lambda: os.pread(fd, 10, 0)) == errno.EIO, 'a page that has gone does not come back')
    os.close(fd)
    fd = os.open(job.path(1), os.O_RDONLY)
    evict(fd, PAGE, PAGE)
    check(os.pread(fd, PAGE, 0) == truth[1][:PAGE], 'the page before it is there')
    check(errno_of(lambda: os.pread(fd, 10, PAGE)) == errno.EIO, 'the one that has gone fails')
    check(os.pread(fd, PAGE, 2 * PAGE) == truth[1][2 * PAGE:3 * PAGE], 'the page behind it is there')
    os.close(fd)
    for i in range(2):
        wait_for('the failure is told', lambda i=i: job.events(i, 'deny', 'EIO'))
    fd = os.open(job.path(2), os.O_RDONLY)
    evict(fd)
    check(os.pread(fd, len(truth[2]), 0) == truth[2], 'a whole value is read again')
    os.close(fd)

    # The end, and another beginning: nothing counts as being there.
    held = os.open(job.path(3), os.O_RDONLY)
    clock.passes(2 * 3600)
    wait_for('the end', lambda: errno_of(lambda: os.pread(held, 10, 0)) == EKEYEXPIRED)
    check(errno_of(lambda: read(job.path(4))) == EKEYEXPIRED, 'what was closed does not open')
    job.damage(4)
    later = world.dir / 'later.grant'
    world.keytool('grant', 'renew', '--until', '+9h', '--no-handin', '--key', world.key('alice'), '-o', later, job.parsed.id, world.vault)
    world.receive(job.station, later)
    wait_for('it goes on', lambda: errno_of(lambda: os.close(os.open(job.path(5), os.O_RDONLY))) == 0)
    check(errno_of(lambda: os.open(job.path(4), os.O_RDONLY)) == errno.EIO, 'what was dropped at the end is looked at by the next open')
    check(read(job.path(5)) == truth[5] and os.pread(held, 100, 100) == truth[3][100:200], 'what is whole is served')
    job.damage(5)
    check(cat(job.path(5)) == truth[5], 'and is there for the open after that')
    os.close(held)
    world.unmount(job.mnt)


def leases():
    carried = world.dir / 'carried'
    carried.mkdir()
    request, answer = carried / 'request', carried / 'answer'
    job = Job('online', ('-o', 'cache=grant', '--request', request, '--answer', answer), release='online', until='+9h')

    def carry():
        """To the desk and back. A request that the mount has replaced meanwhile is answered in vain; there will be another."""
        made = world.dir / 'made'
        if request.exists() and world.desk('answer', '--force', '--lease', '15m', '-o', made, request, world.store, expect=None).returncode == 0:
            made.rename(answer)

    def open_while_carrying(i):
        out = []
        t = threading.Thread(target=lambda: out.append(errno_of(lambda: os.close(os.open(job.path(i), os.O_RDONLY)))))
        t.start()
        while t.is_alive():
            carry()
            time.sleep(0.1)
        return out[0]

    def renewed(what):
        wait_for(what, request.exists)
        carry()
        wait_for('the answer is taken', lambda: not answer.exists())

    check(open_while_carrying(0) == 0, 'released')
    truth = read(job.path(0))
    check(truth[:2] == b'\xff\xd8', 'and served')
    # Shares in use are renewed in the last third of their lease. Opening a file whose pages are there is use.
    clock.passes(11 * 60)
    renewed('the lease is renewed')
    job.damage(0)
    check(cat(job.path(0)) == truth, 'served from the pages')
    clock.passes(11 * 60)
    wait_for('it is to be renewed again', request.exists)
    # Nobody carries it: the lease runs out, and the pages go.
    clock.passes(6 * 60)
    time.sleep(1.5)  # whoever drops them looks twice a second
    check(open_while_carrying(0) == errno.EIO, 'after the lapse the stored value is looked at by the next open')
    world.unmount(job.mnt)


second_opener()
second_pass()
leases()
