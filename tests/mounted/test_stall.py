# SPDX-License-Identifier: MIT
"""The end of a grant waits for nobody: not for a disk that hangs with openers inside, not for a sweep, not for a delivery. And a daemon that
is told to go takes with it what the kernel has cached of open files."""
import mmap
import os
import signal
import subprocess
import sys
import threading
import time

from world import EKEYEXPIRED, World, check, entries, errno_of, read

ENOTCONN = 107


def map_and_wait(path):
    """A process that maps the file, says so, waits for a line, touches the mapping again. SIGBUS is what we want to see."""
    code = '''
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
m = mmap.mmap(fd, os.fstat(fd).st_size, prot=mmap.PROT_READ)
first = m[0:16]
print('mapped', flush=True)
sys.stdin.readline()
m[0:16]
'''
    p = subprocess.Popen([sys.executable, '-c', code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    check(p.stdout.readline() == b'mapped\n', 'the mapping stands')
    return p


def touch(p):
    p.communicate(b'\n', timeout=20)
    return p.returncode


def end_in(seconds):
    end = int(time.time()) + seconds
    return end, time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(end))


def two_jobs(world, seconds):
    station, enrol = world.station()
    end, until = end_in(seconds)
    for job in ('first', 'second'):
        world.deliver(station, enrol, job=job, until=until)
    return station, enrol, end


def stuck(what):
    """The disk, or the sweep, hangs over the end of two grants with an opener inside."""
    world = World(records=6)
    station, enrol, end = two_jobs(world, 7)
    flag = world.dir / 'stall'
    variable = {'disk': 'VAULTFS_TEST_STALL_DISK', 'sweep': 'VAULTFS_TEST_STALL_SWEEP'}[what]
    if what == 'sweep':
        flag.touch()
    mnt = world.mount(station, exe='VAULTFS_STALL', env={variable: str(flag)})
    photos = {job: sorted((mnt / job / 'photos').iterdir()) for job in ('first', 'second')}
    held = {job: os.open(photos[job][0], os.O_RDONLY) for job in photos}
    good = {job: os.pread(held[job], 1 << 21, 0) for job in photos}
    maps = {job: map_and_wait(photos[job][1]) for job in photos}
    openers = []
    if what == 'disk':
        flag.touch()
        # Without asking for attributes, which have ended by themselves: the open has to be refused.
        code = 'import os, sys; os.open(sys.argv[1], os.O_RDONLY); sys.exit(9)'
        # One of a file that nobody has read, one of a file whose pages are there.
        openers = [subprocess.Popen([sys.executable, '-c', code, str(photos['first'][i])], stderr=subprocess.DEVNULL) for i in (2, 0)]
        time.sleep(0.5)
        check(all(o.poll() is None for o in openers), 'openers wait for the disk')
    check(time.time() < end - 0.5, 'set up in time')
    for job in held:
        check(os.pread(held[job], 1 << 21, 0) == good[job], 'open files read before the end')
    time.sleep(max(0, end + 1 - time.time()))
    for job in held:
        check(errno_of(lambda: os.pread(held[job], 1 << 21, 0)) == EKEYEXPIRED, f'{what} hangs: an open file of {job} has ended')
        check(touch(maps[job]) == -signal.SIGBUS, f'{what} hangs: a mapping of {job} has ended')
        check(errno_of(lambda: os.open(photos[job][3], os.O_RDONLY)) == EKEYEXPIRED, 'opening has ended')
    flag.unlink()
    for opener in openers:
        check(opener.wait(timeout=20) == 1, 'an opener that was inside is refused after the end')
        check(errno_of(lambda: os.pread(held['first'], 100, 0)) == EKEYEXPIRED, 'still ended')
    for fd in held.values():
        os.close(fd)
    world.unmount(mnt)
    log = entries(station / 'log')
    check(sum(e['event'] == 'expire' for e in log) == 2, 'both ends are in the log')
    world.keytool('audit', 'verify', '--enrol', enrol, station / 'log')


def crowd():
    """More openers than the daemon has readers, while the disk hangs: nobody gets a byte before his entry is on it, then all do."""
    world = World(records=14)
    station, enrol = world.station()
    world.deliver(station, enrol)
    flag = world.dir / 'stall'
    mnt = world.mount(station, exe='VAULTFS_STALL', env={'VAULTFS_TEST_STALL_DISK': str(flag)})
    photos = sorted((mnt / 'cards/photos').iterdir())[:13]
    code = '''
import sys, time
path = sys.argv[1]
print('ready', flush=True)
sys.stdin.readline()
n = len(open(path, 'rb').read())
print(n, time.time(), flush=True)
'''
    openers = [subprocess.Popen([sys.executable, '-c', code, str(p)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for p in photos]
    for o in openers:
        check(o.stdout.readline() == 'ready\n', 'a reader is there')
    before = read(photos[0])
    flag.touch()
    # What an entry on the disk covers is served: the disk has nothing to do with it.
    check(read(photos[0]) == before, 'the same process, the same second')
    for o in openers:
        o.stdin.write('\n')
        o.stdin.flush()
    time.sleep(1)
    check(all(o.poll() is None for o in openers), 'everybody waits for the disk')
    released = time.time()
    flag.unlink()
    for o, p in zip(openers, photos):
        out, _ = o.communicate(timeout=20)
        size, when = out.split()
        check(int(size) == p.stat().st_size and float(when) >= released, 'and is served then')
    world.unmount(mnt)
    log = entries(station / 'log')
    for o, p in zip(openers, photos):
        check([e['event'] for e in log if e.get('pid') == o.pid and e['refs'] == [p.name[:8]]] == ['open'], 'each has its entry')
    mine = [(e['event'], e.get('count')) for e in log if e.get('pid') == os.getpid()]
    check(mine == [('open', None), ('repeat', 1)], f'what was covered is counted: {mine}')
    world.keytool('audit', 'verify', '--enrol', enrol, station / 'log')


def reads_go_on():
    """Openers wait for the disk, more of them than the daemon has readers: a page that the kernel has let go comes back meanwhile. Otherwise it would be
    locked as long as the disk hangs, and whoever drops pages at an end would wait for it."""
    world = World(records=10)
    station, enrol = world.station()
    world.deliver(station, enrol)
    flag = world.dir / 'stall'
    mnt = world.mount(station, exe='VAULTFS_STALL', env={'VAULTFS_TEST_STALL_DISK': str(flag)})
    photos = sorted((mnt / 'cards/photos').iterdir())
    held = os.open(photos[0], os.O_RDONLY)
    good = os.pread(held, 1 << 21, 0)
    flag.touch()
    openers = [subprocess.Popen(['cat', str(p)], stdout=subprocess.DEVNULL) for p in photos[1:8]]
    time.sleep(0.7)
    check(all(o.poll() is None for o in openers), 'openers wait for the disk')
    os.posix_fadvise(held, 0, 0, os.POSIX_FADV_DONTNEED)
    again = []
    reader = threading.Thread(target=lambda: again.append(os.pread(held, 1 << 21, 0)), daemon=True)
    reader.start()
    reader.join(5)
    check(again == [good], 'what was opened before is read')
    flag.unlink()
    check([o.wait(timeout=20) for o in openers] == [0] * len(openers), 'and they are served when the disk is back')
    os.close(held)
    world.unmount(mnt)


def told_to_go(cache):
    """SIGTERM with files open, mapped and read by four readers."""
    world = World(records=12)
    station, enrol = world.station()
    world.deliver(station, enrol)
    mnt = world.mount(station, options=('-o', f'cache={cache}'))
    photos = sorted((mnt / 'cards/photos').iterdir())
    held = os.open(photos[0], os.O_RDONLY)
    check(len(os.pread(held, 1 << 21, 0)) > 1000, 'an open file')
    table = os.open(mnt / 'cards/cards.csv', os.O_RDONLY)
    os.pread(table, 1 << 20, 0)
    mapped = map_and_wait(photos[1])
    code = '''
import os, sys
while True:
    for name in sorted(os.listdir(sys.argv[1])):
        with open(os.path.join(sys.argv[1], name), 'rb') as f:
            f.read()
'''
    readers = [subprocess.Popen([sys.executable, '-c', code, str(mnt / 'cards/photos')], stderr=subprocess.DEVNULL) for _ in range(4)]
    time.sleep(0.5)
    os.kill(world.pid_of(mnt), signal.SIGTERM)
    start = time.time()
    while world.daemons() and time.time() < start + 10:
        time.sleep(0.05)
    check(not world.daemons(), 'the daemon went')
    check(time.time() - start < 5, 'soon')
    check(not os.path.ismount(mnt), 'and took the mount with it')
    check(errno_of(lambda: os.pread(held, 1 << 21, 0)) == ENOTCONN, 'an open file reads no more')
    check(errno_of(lambda: os.pread(table, 1 << 20, 0)) == ENOTCONN, 'nor does cards.csv')
    check(touch(mapped) == -signal.SIGBUS, 'nor a mapping')
    for r in readers:
        check(r.wait(timeout=10) == 1, 'readers end')
    os.close(held)
    os.close(table)
    world.mounts.clear()
    check(entries(station / 'log')[-2]['event'] == 'unmount', 'an orderly end: the log says so, and is sealed')
    world.keytool('audit', 'verify', '--enrol', enrol, station / 'log')
    world.mount(station, where=mnt)
    check(len(read(photos[0])) > 1000, 'it mounts again')
    world.unmount(mnt)


crowd()
reads_go_on()
stuck('disk')
stuck('sweep')
told_to_go('close')
told_to_go('grant')
print('an end waits for nobody')
