# SPDX-License-Identifier: MIT
"""No log, no data: the log's folder full, away, read-only: every open gives ENOSPC, nothing is served, and it recovers by itself."""
import errno
import os
import shutil
import subprocess
import time

from world import World, check, entries, errno_of, read


def wait_until_readable(path, seconds=10):
    end = time.time() + seconds
    while time.time() < end:
        if errno_of(lambda: read(path)) == 0:
            return
        time.sleep(0.1)
    check(False, f'it did not recover in {seconds} s')


def small_log(world, station):
    """Put the log on a filesystem of its own, small enough to fill."""
    log = station / 'log'
    shutil.move(log, world.dir / 'log-copy')
    log.mkdir(mode=0o700)
    world.run('mount', '-t', 'tmpfs', '-o', 'size=2m,mode=0700', 'tmpfs', log)
    for f in (world.dir / 'log-copy').iterdir():
        shutil.copy2(f, log)
    return log


def refused(photos, what):
    for p in photos[:5]:
        check(errno_of(lambda: read(p)) == errno.ENOSPC, f'{what}: opening gives ENOSPC, not {errno_of(lambda: read(p))}')


world = World(records=16)
station, enrol = world.station()
world.deliver(station, enrol)
as_root = os.geteuid() == 0
log = small_log(world, station) if as_root else station / 'log'
try:
    mnt = world.mount(station)
    top = mnt / 'cards'
    photos = sorted((top / 'photos').iterdir())
    good = {p: read(p) for p in photos}

    # The folder moved away: what is written to it would be lost with it.
    if not as_root:
        os.rename(log, world.dir / 'away')
        refused(photos, 'folder away')
        os.rename(world.dir / 'away', log)
        wait_until_readable(photos[0])

    if as_root:
        filler = open(log / 'filler', 'wb')
        try:
            while True:
                filler.write(b'x' * 65536)
                filler.flush()
        except OSError:
            pass
        # What room is left in the last page may take an entry or two.
        end = time.time() + 20
        while time.time() < end and errno_of(lambda: read(photos[0])) == 0:
            pass
        refused(photos, 'disk full')
        check(errno_of(lambda: read(top / 'cards.csv')) == errno.ENOSPC, 'the table too')
        check(len(os.listdir(top / 'photos')) == 16, 'listing goes on')
        check('in force' in read(top / 'GRANT.txt').decode(), 'GRANT.txt too')
        filler.close()
        os.unlink(log / 'filler')
        wait_until_readable(photos[0])
        check(all(read(p) == good[p] for p in photos), 'everything is served again')

        for name in os.listdir(log):
            os.rename(log / name, log / f'.{name}') if name.startswith('entries') else None
        end = time.time() + 5
        while time.time() < end and errno_of(lambda: read(photos[2])) == 0:
            pass
        refused(photos, 'segments taken away')
        for name in os.listdir(log):
            os.rename(log / name, log / name[1:]) if name.startswith('.entries') else None
        wait_until_readable(photos[2])

    check(all(read(p) == good[p] for p in photos), 'everything is served at the end')
    world.unmount(mnt)
    told = [e['event'] for e in entries(log)]
    if as_root:
        check('gap' in told, 'the log says that entries were lost')
    world.keytool('audit', 'verify', '--enrol', enrol, log)
    if as_root:
        # Read-only from the start: nothing is mounted, and it says why.
        world.run('mount', '-o', 'remount,ro', log)
        p = world.run(os.environ['VAULTFS'], station, mnt, expect=1)
        check('log' in p.stderr and not os.path.ismount(mnt), 'a log that cannot be written')
        world.run('mount', '-o', 'remount,rw', log)
        world.mount(station, where=mnt)
        check(read(photos[0]) == good[photos[0]], 'and it starts when it can')
        world.unmount(mnt)
    # Each photo that was served has its entry.
    opened = {e['refs'][0] for e in entries(log) if e['event'] == 'open' and e.get('part') == 'image'}
    check(opened == {t['ref'] for t in world.truth}, 'each disclosure is in the log')
finally:
    if as_root:
        for mnt, _ in list(world.mounts):
            subprocess.run(['fusermount3', '-u', '-z', str(mnt)])
        subprocess.run(['umount', '-l', str(log)])
print('no log, no data')
