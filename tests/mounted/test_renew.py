# SPDX-License-Identifier: MIT
"""Renewal while photos are open: no path changes, no open file is disturbed, under 1 KiB a record travels. A new job appears in the
running mount; a revocation ends one at once; values that no grant needs go."""
import os
import time

from world import EKEYEXPIRED, EKEYREVOKED, World, check, entries, errno_of, read


def wait_for(what, condition, seconds=5):
    end = time.time() + seconds
    while time.time() < end:
        if condition():
            return
        time.sleep(0.05)
    check(False, f'waited {seconds} s for {what}')


def tree(top):
    return {os.path.join(d, n): os.lstat(os.path.join(d, n)).st_ino for d, ds, fs in os.walk(top) for n in ds + fs}


world = World(records=20)
station, enrol = world.station()
first_end = int(time.time()) + 8
grant, bundle = world.deliver(station, enrol, until=time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(first_end)))
mnt = world.mount(station)
top = mnt / 'cards'
photos = sorted(os.listdir(top / 'photos'))
contents = {n: read(top / 'photos' / n) for n in photos}
before = tree(top)
held = [os.open(top / 'photos' / n, os.O_RDONLY) for n in photos[:5]]
half = os.open(top / 'photos' / photos[5], os.O_RDONLY)
os.pread(half, 4096, 0)

grant_id = next(line.split()[-1] for line in world.keytool('grant', 'show', grant).stdout.splitlines() if line.lower().startswith('grant'))
refused = world.keytool('grant', 'renew', '--until', '+1h', '--key', world.key('alice'), '-o', world.dir / 'no.grant', grant_id,
                        world.vault, expect=4)
check('hand' in refused.stderr.lower() or 'log' in refused.stderr.lower(), 'renewal asks for the log first')
handin = world.dir / 'printer.log'
world.keytool('station', 'handin', station, '-o', handin)
receipt = world.dir / 'receipt'
world.keytool('device', 'handin', handin, '--key', world.key('alice'), '-o', receipt, world.vault)
renewed = world.dir / 'renewed.grant'
world.keytool('grant', 'renew', '--until', '+1h', '--key', world.key('alice'), '-o', renewed, grant_id, world.vault)
check(renewed.stat().st_size < 1024 * len(world.truth) + 8192, f'a renewal is small: {renewed.stat().st_size} bytes')
world.receive(station, renewed, receipt)
again = world.receive(station, renewed, receipt)
check('already' in again.stdout, 'receiving twice changes nothing')

time.sleep(max(0, first_end + 1.5 - time.time()))
for fd, name in zip(held, photos):
    check(os.pread(fd, 1 << 21, 0) == contents[name], 'an open photo reads on after the first grant ended')
check(os.pread(half, 1 << 21, 4096) == contents[photos[5]][4096:], 'so does a half-read one')
check(tree(top) == before, 'no path and no inode number changed')
check(read(top / 'photos' / photos[6]) == contents[photos[6]], 'others open')
check('in force' in read(top / 'GRANT.txt').decode(), 'GRANT.txt tells of the new grant')

# A new job while mounted.
world.deliver(station, enrol, job='second', fields='rank,warrant_no')
wait_for('the second job', lambda: 'second' in os.listdir(mnt))
check('photos' not in os.listdir(mnt / 'second'), 'it has what it was granted only')
ref = sorted(os.listdir(mnt / 'second/records'))[0]
check(sorted(os.listdir(mnt / 'second/records' / ref)) == ['rank', 'warrant_no'], 'two fields')

# Revocation of the first job, received while mounted.
revoked_id = next(line.split()[-1] for line in world.keytool('grant', 'show', renewed).stdout.splitlines()
                  if line.lower().startswith('grant'))
world.keytool('grant', 'revoke', '--reason', 'the printer was burgled', '--key', world.key('alice'), '-o', world.dir / 'x.revoked',
              revoked_id, world.vault)
world.receive(station, world.dir / 'x.revoked')
wait_for('the revocation', lambda: errno_of(lambda: os.listdir(top / 'photos')) == EKEYREVOKED)
check(errno_of(lambda: os.pread(held[0], 100, 0)) in (EKEYREVOKED, EKEYEXPIRED), 'open files end with it')
check(errno_of(lambda: read(top / 'photos' / photos[0])) == EKEYREVOKED, 'opening gives EKEYREVOKED')
check('revoked' in read(top / 'GRANT.txt').decode(), 'GRANT.txt says so')
check(len(read(mnt / 'second/cards.csv')) > 0, 'the other job goes on')
for fd in held + [half]:
    os.close(fd)
world.unmount(mnt)
check(any(e['event'] == 'revoke' for e in entries(station / 'log')), 'the revocation is logged')
world.keytool('audit', 'verify', '--enrol', enrol, station / 'log')
print('renewals disturb nobody')
