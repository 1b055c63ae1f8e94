# SPDX-License-Identifier: MIT
"""Clock drills against a daemon whose clock a file sets: suspend, wall clock back while mounted and while not, one wrong step of years
and back again, ten minutes of it, and the way out (a grant with --clock-reset). No station is bricked."""
import time

from clockfile import Clock
from world import EKEYEXPIRED, EKEYREJECTED, World, check, entries, errno_of, read

HOUR, YEAR = 3600, 365 * 86400


world = World(records=8)
station, enrol = world.station()
clock = Clock(world.dir / 'clock')
env = {'VAULTFS_TEST_CLOCK': str(clock.path)}
mnt = world.dir / 'mnt'
mnt.mkdir()


def mount():
    world.mount(station, where=mnt, exe='VAULTFS_CLOCK', env=env)


def photo(job='cards'):
    folder = mnt / job / 'photos'
    return errno_of(lambda: read(folder / sorted(f'{t["ref"]}.JPG' for t in world.truth)[0]))


def becomes(wanted, what, job='cards', seconds=4):
    end = time.time() + seconds
    got = None
    while time.time() < end:
        got = photo(job)
        if got == wanted:
            return
        time.sleep(0.05)
    check(False, f'{what}: errno {got} instead of {wanted}')


world.deliver(station, enrol, until='+6h')
mount()
becomes(0, 'at first')

# The wall clock set back while mounted: seen once time is known, here after ten quiet minutes.
clock.passes(11 * 60)
time.sleep(1.5)
becomes(0, 'eleven minutes on')
clock.steps(-HOUR)
becomes(EKEYREJECTED, 'an hour back')
check('clock' in read(mnt / 'cards/GRANT.txt').decode(), 'GRANT.txt says why')
clock.steps(+HOUR)
becomes(0, 'set right again')
clock.steps(-200)
becomes(0, 'up to 300 s back is tolerated')
clock.steps(+200)
world.unmount(mnt)

# While not mounted, and over a reboot.
clock.steps(-HOUR)
mount()
becomes(EKEYREJECTED, 'an hour back while not mounted')
world.unmount(mnt)
clock.reboot(+HOUR + 60)
mount()
becomes(0, 'right again after a reboot')

# One wrong step of years forward, and back again: ends at once, comes back, nothing is lost.
clock.steps(+5 * YEAR)
becomes(EKEYEXPIRED, 'five years forward')
clock.steps(-5 * YEAR)
becomes(0, 'and back')
world.unmount(mnt)
clock.steps(+5 * YEAR)
mount()
becomes(EKEYEXPIRED, 'five years forward at the start')
world.unmount(mnt)
clock.steps(-5 * YEAR)
mount()
becomes(0, 'and back')

# Suspended over the end: wakes up ended.
world.deliver(station, enrol, job='short', until='+2h')
becomes(0, 'the second job', job='short')
clock.passes(3 * HOUR)
becomes(EKEYEXPIRED, 'after a suspend over its end', job='short')
becomes(0, 'the longer job goes on')

# A wrong year that lasted: trusted time followed it, but not beyond the latest end known.
clock.steps(+5 * YEAR)
becomes(EKEYEXPIRED, 'five years forward')
time.sleep(1.2)
clock.passes(11 * 60)
time.sleep(1.5)
clock.steps(-5 * YEAR)
becomes(EKEYEXPIRED, 'trusted time stands at the end of the grant')
world.unmount(mnt)
values_before = world.keytool('station', 'status', '--json', station).stdout
check('cards' in values_before, 'nothing was destroyed')
# The way out: the force grants anew, with --clock-reset. The fake clock runs about 3 h 23 min ahead of the force's.
world.deliver(station, enrol, job='again', until='+9h', extra=('--clock-reset',))
mount()
becomes(0, 'a grant with --clock-reset', job='again')
world.unmount(mnt)
mount()
becomes(0, 'and after another mount', job='again')
world.unmount(mnt)
check(any(e['event'] == 'clock' for e in entries(station / 'log')), 'steps of the clock are in the log')
world.keytool('audit', 'verify', '--enrol', enrol, station / 'log')
print('trusted time holds')
