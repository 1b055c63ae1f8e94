#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Online grants without a network: requests and answers as files, wrong and old answers, a restart; and what the mount's memory holds within a lease,
and after it has run out: by the vault's own keys, exactly the shares of the records that the desk released, and none."""
import json
import os
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'reader'))
from clockfile import Clock
from desk import DeskWorld
from reader import IMAGE, TEXT, Backup, Grant, Identity, kdf
from world import EKEYEXPIRED, ENOKEY, check, errno_of, read, skip

if os.geteuid() != 0:
    skip('only root may look into the memory of another process')
world = DeskWorld(records=12, synth=('--photos', 'mixed'))
station, enrol = world.station()
delivered, _ = world.deliver(station, enrol, job='cards', release='online', until='+2h')
grant = Grant(delivered.read_bytes())
clock = Clock(world.dir / 'clock')
carried = world.dir / 'carried'
carried.mkdir()
request, answer = carried / 'request', carried / 'answer'
mnt = world.dir / 'mnt'
mnt.mkdir()


def mount(expect=0, options=('--request', request, '--answer', answer)):
    world.mount(station, where=mnt, exe='VAULTFS_CLOCK', env={'VAULTFS_TEST_CLOCK': str(clock.path)}, options=options, expect=expect)


def wait_for(what, condition, seconds=20):
    end = time.time() + seconds
    while not condition():
        check(time.time() < end, what)
        time.sleep(0.05)


def carry(source=request, target=answer, lease='15m', expect=0):
    """To the desk and back."""
    out = world.dir / 'made'
    world.desk('answer', '--force', '--lease', lease, '-o', out, source, world.store, expect=expect)
    (world.dir / 'made').rename(target)


def carry_until(what, condition):
    """A request that was carried before all was in it is followed by another."""
    taken = world.dir / 'taken'
    end = time.time() + 20
    while True:
        idle = not answer.exists() # looked at first: what came with an answer is here before the file goes
        if condition():
            return
        check(time.time() < end, what)
        if idle and request.exists():
            try:
                taken.write_bytes(request.read_bytes())
            except FileNotFoundError: # it is being made anew
                continue
            carry(taken)
        time.sleep(0.2)


def holds(n):
    return lambda: sum(job()['shares'][p] for p in ('text', 'image')) >= n


def job():
    return json.loads(world.run(os.environ['VAULTFS_CLOCK'], 'status', '--json', mnt).stdout)['jobs'][0]


def memory():
    """Every byte that the daemon can write to."""
    out = []
    pid = world.pid_of(mnt, exe='VAULTFS_CLOCK')
    with open(f'/proc/{pid}/maps') as maps, open(f'/proc/{pid}/mem', 'rb', 0) as mem:
        for line in maps:
            m = re.match(r'([0-9a-f]+)-([0-9a-f]+) rw', line)
            if m and '[v' not in line:
                start, end = (int(x, 16) for x in m.groups())
                if end - start > 1 << 28: # a sanitizer's own
                    continue
                try:
                    mem.seek(start)
                    out.append(mem.read(end - start))
                except OSError:
                    pass
    return b'\0'.join(out)


world.keytool('vault', 'backup', world.vault, world.dir / 'vault.backup')
backup = Backup((world.dir / 'vault.backup').read_bytes())
vk = Identity(world.key('alice').read_bytes()).unseal(next(iter(backup.tables['vk'].values())))
secret = kdf(vk, 'vaultfs v1 release secret', backup.w, grant.id.encode())


def held():
    image = memory()
    check(secret not in image, 'the release secret never leaves the desk')
    return {(ref, part) for ref in grant.rows for part in (TEXT, IMAGE)
            if kdf(secret, 'vaultfs v1 release share', ref.encode(), bytes([part])) in image}


def released():
    out = set()
    for e in world.desk_entries(torn=True):
        if e['event'] == 'release':
            out |= {(r, TEXT if e['part'] == 'text' else IMAGE) for r in (grant.rows if e['refs'] == 'all' else e['refs'])}
    return out


mount(expect=2, options=('--request', request))
mount(expect=2, options=('--request', mnt / 'r', '--answer', answer))
mount(expect=2, options=('--request', request, '--answer', request))
mount()
photos = sorted(p.name for p in (mnt / 'cards/photos').iterdir())
photo = lambda i: mnt / 'cards/photos' / photos[i]
ref = next(iter(grant.rows))
rank = mnt / 'cards/records' / ref / 'rank'

# The first file waits five seconds for somebody to come; those after it do not wait, and are in the request all the same.
start = time.time()
check(errno_of(lambda: read(photo(4))) == ENOKEY and 4 < time.time() - start < 9, 'no share yet')
check(request.stat().st_mode & 0o777 == 0o600, 'the request is there')
start = time.time()
check(errno_of(lambda: read(photo(7))) == ENOKEY and time.time() - start < 4, 'at once')
check(errno_of(lambda: read(rank)) == ENOKEY, 'a text too')
check(not held(), 'nothing is here')
time.sleep(0.7)
old = carried / 'old'
old.write_bytes(request.read_bytes())
carry_until('the answer is taken', holds(14))
wait_for('both files go', lambda: not answer.exists() and not request.exists())
check(read(photo(4))[:2] == b'\xff\xd8' and read(photo(7))[:2] == b'\xff\xd8', 'the files open')
truth = {t['ref']: t for t in world.truth}
check(read(rank).decode() == truth[ref]['text']['rank'] + '\n', 'and say what is so')
check(held() == released() == {(r, TEXT) for r in grant.rows} | {(photos[i][:8], IMAGE) for i in (4, 7)}, 'in memory is what was released')
check('no answer' in (mnt / 'cards/GRANT.txt').read_text() or 'last' in (mnt / 'cards/GRANT.txt').read_text() or
      'Key desk' in (mnt / 'cards/GRANT.txt').read_text(), 'GRANT.txt says how it stands')

# An answer to something else: left, not taken. The same request again: the desk has its log, and releases nothing for it.
answer.write_bytes(os.urandom(600))
time.sleep(0.8)
check(answer.exists() and holds(14)(), 'no answer to this mount')
carry(old, expect=5)
time.sleep(0.8)
check(answer.exists(), 'nor is one to a request that was answered')
answer.unlink()

# The lease runs out: nothing of it is left in memory, nothing opens; another request, another answer.
open_file = open(photo(4), 'rb')
check(open_file.read(2) == b'\xff\xd8', 'open')
clock.passes(16 * 60)
wait_for('the leases run out', lambda: job()['shares'] == {'text': 0, 'image': 0})
wait_for('what the desk released is forgotten', lambda: held() == set()) # who looks after leases looks twice a second
pread = lambda: os.pread(open_file.fileno(), 10, 0)
wait_for('an open file too', lambda: errno_of(pread) == ENOKEY)
wait_for('another request', lambda: errno_of(pread) == ENOKEY and request.exists()) # while pages are dropped, none is made
carry(lease='8h')
wait_for('is answered', holds(1))
wait_for('and the file reads again', lambda: errno_of(pread) == 0)
open_file.close()
check(held() <= released() and held(), 'in memory is no more than was released')
clock.passes(70 * 60)
check(errno_of(lambda: read(photo(4))) == 0, 'a lease as long as the desk was told')
clock.passes(40 * 60)
wait_for('but not beyond the end', lambda: errno_of(lambda: read(photo(4))) == EKEYEXPIRED)
wait_for('and then it is forgotten', lambda: held() == set())
world.unmount(mnt)
check(not request.exists(), 'no request is left behind')
print('shares come by files, and go with their lease')
