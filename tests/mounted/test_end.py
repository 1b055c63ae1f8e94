# SPDX-License-Identifier: MIT
"""The end of a grant: open, mapped, half-read files and busy readers all fail within a second, nothing hangs, the mount comes off.
The same against a daemon that does not drop pages shows that this test would see stale ones,
and what the kernel refuses by itself."""
import mmap
import multiprocessing
import os
import signal
import sys
import time

from world import EKEYEXPIRED, World, check, entries, errno_of, read

SECONDS = 8


def touch_mapping(path, start, out):
    """In a process of its own: map the file, wait for the end, read a page that was read before. 7: SIGBUS."""
    fd = os.open(path, os.O_RDONLY)
    size = os.fstat(fd).st_size
    m = mmap.mmap(fd, size, prot=mmap.PROT_READ)
    first = m[0:16]
    out.put('mapped')
    start.wait()
    m[0:16]
    out.put('read it again' if first else '')


def mapped_reader(path):
    start, out = multiprocessing.Event(), multiprocessing.Queue()
    p = multiprocessing.Process(target=touch_mapping, args=(path, start, out))
    p.start()
    check(out.get(timeout=20) == 'mapped', 'the mapping stands')
    return p, start


def reader(folder, until, out):
    """Reads all files over and over; reports the last time a read succeeded and every errno seen."""
    last, seen = 0, set()
    while time.time() < until:
        try:
            names = os.listdir(folder)
        except OSError as e:
            seen.add(e.errno)
            time.sleep(0.001)
            continue
        for name in names:
            try:
                read(os.path.join(folder, name))
                last = time.time()
            except OSError as e:
                seen.add(e.errno)
    out.put((last, seen))


def run_to_the_end(exe):
    """Returns what could still be had after the end."""
    world = World(records=24)
    station, enrol = world.station()
    end = int(time.time()) + SECONDS
    until = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(end))
    world.deliver(station, enrol, until=until)
    mnt = world.mount(station, exe=exe)
    top = mnt / 'cards'
    photos = [top / 'photos' / n for n in sorted(os.listdir(top / 'photos'))]
    held = os.open(photos[0], os.O_RDONLY)
    whole = os.pread(held, 1 << 20, 0)
    half = os.open(photos[1], os.O_RDONLY)
    os.pread(half, 4096, 0)
    table = os.open(top / 'cards.csv', os.O_RDONLY)
    os.pread(table, 1 << 20, 0)
    folder = os.open(top / 'photos', os.O_RDONLY | os.O_DIRECTORY)
    mapped, touch = mapped_reader(photos[2])
    out = multiprocessing.Queue()
    readers = [multiprocessing.Process(target=reader, args=(top / 'photos', end + 3, out)) for _ in range(4)]
    for r in readers:
        r.start()
    check(time.time() < end - 1, f'set up in time ({time.time() - end:.1f} s too late: raise SECONDS)')
    check(errno_of(lambda: os.pread(held, 100, 0)) == 0, 'the open file reads before the end')
    time.sleep(max(0, end + 1 - time.time()))

    got = {
        'open file': errno_of(lambda: os.pread(held, len(whole), 0)),
        'half-read file': errno_of(lambda: os.pread(half, 1 << 20, 4096)),
        'cards.csv': errno_of(lambda: os.pread(table, 1 << 20, 0)),
        'opening': errno_of(lambda: open(photos[3], 'rb')),
        'opening again': errno_of(lambda: open(photos[0], 'rb')),
        'listing': errno_of(lambda: os.listdir(top / 'photos')),
        'listing an open folder': errno_of(lambda: os.listdir(folder)),
        'looking up': errno_of(lambda: os.stat(top / 'records')),
    }
    touch.set()
    mapped.join(20)
    got['mapping'] = mapped.exitcode
    results = [out.get(timeout=30) for _ in readers]
    for r in readers:
        r.join(30)
        check(not r.is_alive(), 'no reader hangs')
    notice = read(top / 'GRANT.txt').decode()
    names = os.listdir(top)
    for fd in (held, half, table, folder):
        os.close(fd)
    world.unmount(mnt)
    return world, station, end, got, results, notice, names


def honest():
    world, station, end, got, results, notice, names = run_to_the_end('VAULTFS')
    mapping = got.pop('mapping')
    for what, err in got.items():
        check(err == EKEYEXPIRED, f'{what} after the end: errno {err} instead of EKEYEXPIRED')
    check(mapping == -signal.SIGBUS, f'the mapping gives SIGBUS (exit {mapping})')
    for last, seen in results:
        check(0 < last <= end + 1, f'a reader read {last - end:.2f} s after the end')
        check(seen == {EKEYEXPIRED}, f'readers saw {seen}')
    check('This grant ended on' in notice and 'Ask the force for a new one.' in notice, 'GRANT.txt says that it ended')
    check(names == ['GRANT.txt'], 'only GRANT.txt is left')
    log = entries(station / 'log')
    check(any(e['event'] == 'expire' for e in log), 'the end is logged')
    check(any(e['event'] == 'deny' and e['result'] == 'EKEYEXPIRED' for e in log), 'refusals are logged')
    check(sum(e['event'] == 'deny' for e in log) <= 60, 'but not each of them')
    world.keytool('audit', 'verify', '--enrol', world.dir / 'printer/printer.enrol', station / 'log')


def control():
    *_, got, results, notice, names = run_to_the_end('VAULTFS_STALE')
    check(got.pop('mapping') == 0, f'a daemon that drops no pages is seen through: {got}')
    # Attributes are believed until the end and no longer, so that the kernel asks before it reads or lists: that holds without us.
    check(all(err == EKEYEXPIRED for err in got.values()), f'what is asked for at the end is refused without any message: {got}')


if __name__ == '__main__':
    honest()
    control()
    print('a grant ends to the second')
    sys.exit(0)
