#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A desk that is not to be believed, over HTTP, with a real mount: its clock is set wrong while it serves and while it does not, its store is put back
from an older copy, as files and as an image of the disk would be. Nothing is released and nothing destroyed until a person has looked; what the mount
has stays readable; a program gets ENOKEY within five seconds; everything goes on by itself afterwards."""
import json
import os
import shutil
import subprocess
import time

from clockfile import Clock
from desk import DeskWorld, copy_tree
from world import EKEYREVOKED, ENOKEY, check, errno_of, read

HOUR = 3600

world = DeskWorld(http=True, records=40)
clock = Clock(world.dir / 'clock')


def serve(ready=True):
    world.serve(ready=ready, exe='KEYTOOL_CLOCK', env={'VAULTFS_TEST_CLOCK': str(clock.path)})


serve()
station, enrol = world.station()
grant, _ = world.deliver(station, enrol, job='cards', release='online', until='+6h')
world.deliver(station, enrol, job='short', release='online', until='+50m')
mnt = world.mount(station)
photos = sorted(p.name for p in (mnt / 'cards/photos').iterdir())
order = [0, 19, 7, 33, 13, 27, 3, 38, 22] # nobody takes it for a walk, and gets more than was asked for
photo = lambda i, job='cards': mnt / job / 'photos' / photos[order[i]]
opened = lambda i, job='cards': errno_of(lambda: read(photo(i, job)))


def status():
    return json.loads(world.keytool('desk', 'status', '--json', world.store).stdout)


def becomes(what, condition, seconds=15):
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, f'{what}: {status()} {world.said()[-600:]}')
        time.sleep(0.1)


def in_doubt(word, new):
    """The desk says why; nothing new is readable, within the limit; what was released is; nothing is destroyed."""
    becomes('it is doubted', lambda: not status()['ready'])
    check(word in status()['unready'], f'{word}: {status()["unready"]}')
    becomes('its health says so', lambda: world.answers(b' 503 '), 5)
    keys = status()['prekeys']
    start = time.monotonic()
    err = opened(new)
    took = time.monotonic() - start
    check(err == ENOKEY and took < 7, f'errno {err} after {took:.1f} s')
    check(opened(0) == 0, 'what was released is still readable')
    check(status()['prekeys'] == keys, 'nothing is destroyed')


def confirmed(new):
    world.desk('clock', '--confirm', world.store)
    becomes('it is ready', lambda: status()['ready'])
    becomes('the mount goes on by itself', lambda: opened(new) == 0)
    becomes('its health says so', world.answers, 5)


check(opened(0) == 0 and opened(0, 'short') == 0, 'at first')

# Set wrong while it serves, past the end of a grant; and right again, which is a matter for a person all the same.
clock.steps(HOUR + 600)
in_doubt('was set forward', 1)
clock.steps(-HOUR - 600)
check(not status()['ready'], 'a clock that is right again is not believed by itself')
confirmed(1)
check(opened(1, 'short') == 0, 'nothing ended by a wrong clock')

# Wrong already when it starts: what has ended by that clock is over, but for ten minutes nobody is told the time. Then somebody sets it right.
check(world.stop() == 0, 'it stops')
clock.steps(HOUR + 600)
serve()
becomes('released all the same', lambda: opened(2) == 0)
check(status()['prekeys']['destroyed'] == 1, 'what has ended by that clock is over')
clock.steps(-HOUR - 600)
in_doubt('was set back', 3)
confirmed(3)
check(opened(2) == 0, 'the station has not taken that time for its own')

# An older copy in the place of the store: other files, which it sees at once.
check(world.stop() == 0, 'it stops')
older = copy_tree(world.store, world.dir / 'older')
serve()
becomes('more is released', lambda: opened(4) == 0)
world.stop()
shutil.move(world.store, world.dir / 'newest')
shutil.copytree(older, world.store)
serve(ready=False)
in_doubt('put back', 5)
confirmed(5)

# As an image of the disk that is put back: the files are the same ones, and only a station's receipt tells.
check(world.stop() == 0, 'it stops')
older = copy_tree(world.store, world.dir / 'image')
serve()
becomes('more is released', lambda: opened(6) == 0)
world.stop()
subprocess.run(['cp', '-RT', older, world.store], check=True)
serve()
check(status()['ready'], 'nothing is to be seen yet')
check(opened(7) == ENOKEY, 'a receipt of later: nothing is released')
in_doubt('printer has a receipt', 7)
confirmed(7)

# And the others are revoked at once, as ever.
grant_id = json.loads(world.keytool('grant', 'show', '--json', grant).stdout)['id']
world.keytool('grant', 'revoke', '--reason', 'test', '--key', world.key('alice'), '-o', world.dir / 'cards.revoked', grant_id, world.vault)
world.desk('receive', world.store, world.dir / 'cards.revoked')
becomes('its key is destroyed', lambda: status()['prekeys']['destroyed'] == 2)
check(opened(8) == EKEYREVOKED, 'nothing new')
check(world.stop() == 0, 'it stops')
doubts = [e for e in world.desk_entries() if e['event'] == 'time' and e['result'] == 'unready']
check(len(doubts) >= 2, f'doubts are in the log: {doubts}')
world.keytool('audit', 'verify', world.store / 'log')
world.unmount(mnt)
print('a desk in doubt: nothing released, nothing destroyed, and it goes on')
