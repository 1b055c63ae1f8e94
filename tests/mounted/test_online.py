#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Online grants, mounted, with a real desk: first reads, cards.csv, walks, leases, a desk that is slow, cut off or gone, the end, a revocation, a
budget. The mount's clocks are moved; the desk's are the computer's."""
import datetime
import json
import mmap
import os
import signal
import threading
import time
from errno import EDQUOT, ENODEV, ENOTCONN

from clockfile import Clock
from desk import DeskWorld
from proxy import Proxy
from world import EKEYEXPIRED, EKEYREVOKED, ENOKEY, check, entries, errno_of, read

RECORDS = 40


class Online(DeskWorld):
    def create_options(self):
        options = super().create_options()
        self.proxy = Proxy(self.dir / 'proxy.sock', self.dir / 'desk.sock')
        self.url = f'unix:{self.dir}/proxy.sock'
        return [*options[:-1], self.url]


world = Online(records=RECORDS)
world.serve()
station, enrol = world.station()
world.deliver(station, enrol, job='cards', release='online', until='+3h')
world.deliver(station, enrol, job='few', release='online', until='+3h', extra=('--budget', '12'))
world.deliver(station, enrol, job='again', release='online', until='+3h')
world.deliver(station, enrol, job='plain', release='offline', until='+30d')
clock = Clock(world.dir / 'clock')
mnt = world.dir / 'mnt'
mnt.mkdir()


late = world.dir / 'late'


def mount(*options):
    env = {'VAULTFS_TEST_CLOCK': str(clock.path), 'VAULTFS_TEST_LATE': str(late)}
    world.mount(station, where=mnt, exe='VAULTFS_CLOCK', env=env, options=options)


def status():
    return json.loads(world.run(os.environ['VAULTFS_CLOCK'], 'status', '--json', mnt).stdout)


def job(name='cards'):
    return next(j for j in status()['jobs'] if j['job'] == name)


def lease_left(which):
    """Seconds until the first or the last lease ends, by the mount's clock."""
    until = datetime.datetime.strptime(job()['shares'][f'{which}_until'], '%Y-%m-%dT%H:%M:%S%z')
    return until.timestamp() - time.time() - clock.wall


def text(name='cards'):
    return read(mnt / name / 'GRANT.txt').decode()


def released(part=None, name='cards'):
    """Records that the desk's log has as released."""
    refs = set()
    for e in world.desk_entries(torn=True):
        if e['event'] == 'release' and e['job'] == name and part in (None, e['part']):
            refs |= set(truth) if e['refs'] == 'all' else set(e['refs'])
    return refs


def timed(path, seconds=None):
    """The errno, and how long it took."""
    start = time.time()
    err = errno_of(lambda: read(path))
    took = time.time() - start
    if seconds is not None:
        check(took < seconds, f'{path}: errno {err} after {took:.1f} s')
    return err, took


def becomes(path, wanted, what, seconds=6):
    end = time.time() + seconds
    err = None
    while time.time() < end:
        err = errno_of(lambda: read(path))
        if err == wanted:
            return
        time.sleep(0.1)
    check(False, f'{what}: errno {err}')


def loses(held, wanted, seconds):
    """An open file stops to be readable, cached or not."""
    err, end = 0, time.time() + seconds
    while err == 0 and time.time() < end:
        err = errno_of(lambda: os.pread(held.fileno(), 100, 0))
        time.sleep(0.05)
    check(err == wanted, f'an open file: errno {err}')


truth = {t['ref']: t for t in world.truth}
mount()
photos = sorted(p.name for p in (mnt / 'cards/photos').iterdir())
photo = lambda i, name='cards': mnt / name / 'photos' / photos[i]
ref_of = lambda i: photos[i][:8]


def first_reads():
    check(not released(), 'listing a folder releases nothing')
    check('has not answered yet' in text() and 'nothing at the moment' in text(), 'GRANT.txt says how it stands')
    data = read(photo(5))
    check(data[:2] == b'\xff\xd8', 'the photo is one')
    check(released('image') == {ref_of(5)}, 'one file, one release')
    opened = [e for e in entries(station / 'log', torn=True) if e['event'] == 'open']
    check(opened[-1]['refs'] == [ref_of(5)], 'and it is in the log of the station')
    ref = next(iter(truth))
    value = read(mnt / 'cards/records' / ref / 'rank').decode().rstrip('\n')
    check(value == truth[ref]['text']['rank'], 'a text is right')
    check(released('text') == set(truth), 'with one text of a job come all')
    rows = read(mnt / 'cards/cards.csv').decode().splitlines()
    check(len(rows) == RECORDS + 1, 'cards.csv is whole')
    check(job()['shares']['text'] == RECORDS and job()['shares']['image'] == 1, 'status counts')
    check('Key desk' in text() and 'texts' in text() and 'until' in text(), 'GRANT.txt says until when')
    said = world.run(os.environ['VAULTFS_CLOCK'], 'status', mnt).stdout
    check('last answered' in said and 'can be read until' in said, 'and so does status')


def walks():
    for i in range(10, 12):
        read(photo(i))
    got = released('image')
    check({ref_of(i) for i in range(10, 12)} <= got, 'what was read was released')
    check(got == {ref_of(5)} | {ref_of(i) for i in range(10, 20)}, 'and the next eight')
    before = world.proxy.seen
    for i in range(12, 20):
        read(photo(i))
    check(world.proxy.seen == before, 'those need no further request')


def leases():
    """What is open is renewed; what is not runs out."""
    read(photo(32))
    read(photo(33)) # and those behind it are here, and nobody opens them
    with open(photo(30), 'rb') as held:
        first = held.read()
        time.sleep(1)
        clock.passes(11 * 60)
        before = job()['shares']['image']
        end = time.time() + 8
        while lease_left('last') < 600 and time.time() < end:
            time.sleep(0.2)
        check(lease_left('last') > 600, 'the lease of an open file is renewed in the background')
        check(lease_left('first') < 600, 'and not those of files that nobody opened')
        clock.passes(6 * 60)
        end = time.time() + 5
        while job()['shares']['image'] == before and time.time() < end:
            time.sleep(0.2)
        check(job()['shares']['image'] < before, 'those of others have run out')
        world.proxy.refuse()
        held.seek(0)
        check(held.read() == first, 'the open file reads without the desk')


def renewed():
    """A renewal disturbs no open file, and what is read anew is released under it."""
    world.proxy.mode = 'pass'
    becomes(photo(22, 'again'), 0, 'a file opens', 8)
    with open(photo(22, 'again'), 'rb') as held:
        first, old = held.read(), job('again')['grant']
        world.proxy.refuse()
        new = world.dir / 'renewed.grant'
        world.keytool('grant', 'renew', '--until', '+4h', '--no-handin', '--key', world.key('alice'), '-o', new, old, world.vault)
        world.receive(station, new)
        end = time.time() + 5
        while job('again')['grant'] == old and time.time() < end:
            time.sleep(0.1)
        check(job('again')['grant'] != old, 'the renewal is in place')
        time.sleep(1.2)
        held.seek(0)
        check(held.read() == first, 'what is open reads on, desk or not')
        world.proxy.mode = 'pass'
        becomes(photo(22, 'again'), 0, 'and opens under the renewal', 8)
    check(any(e['event'] == 'release' and e['grant'] == job('again')['grant'] for e in world.desk_entries(torn=True)), 'which the desk released')


def away():
    """The desk is gone: ridden out, then ENOKEY, then back by itself."""
    world.proxy.mode = 'pass'
    becomes(photo(31), 0, 'a file opens')
    held = open(photo(31), 'rb')
    mapped = mmap.mmap(held.fileno(), 0, prot=mmap.PROT_READ)
    check(mapped[:2] == b'\xff\xd8', 'mapped')
    world.proxy.gone()
    check(errno_of(lambda: read(photo(31))) == 0, 'what is here opens')
    err, _ = timed(photo(1), 4.5)
    check(err == ENOKEY, f'what is not: errno {err}')
    err, took = timed(photo(2), 1)
    check(err == ENOKEY, f'and the next at once: {err}')
    check('cannot be reached' in text(), 'GRANT.txt says so')
    check(errno_of(lambda: read(photo(1, 'plain'))) == 0, 'another job is not touched')
    mapped.close()
    clock.passes(16 * 60)
    loses(held, ENOKEY, 5) # when the lease has ended it has no pages any more
    check(timed(photo(31), 5.5)[0] == ENOKEY, 'nor does it open')
    check(job()['shares'] == {'text': 0, 'image': 0}, 'nothing is held')
    world.proxy.start()
    becomes(photo(31), 0, 'it recovers by itself', 8)
    check(os.pread(held.fileno(), 2, 0) == b'\xff\xd8', 'and the file that was open reads again')
    held.close()


def lapses_together():
    """Pages go at the lapse of their own share, however long READs of other files wait for the desk."""
    becomes(photo(31), 0, 'a file opens')
    early = [open(photo(i), 'rb') for i in range(24, 36)]
    for h in early:
        h.read()
    clock.passes(60)
    later = [open(photo(i, 'again'), 'rb') for i in range(6)]
    for h in later:
        h.read()
    time.sleep(0.7)
    world.proxy.mode, world.proxy.delay = 'slow', 30
    good, end, over = {}, time.time() + 14, threading.Event()

    def reads(h):
        while not over.is_set() and time.time() < end:
            if errno_of(lambda: os.pread(h.fileno(), 4096, 0)) == 0:
                good[h] = time.time()
            time.sleep(0.02)

    threads = [threading.Thread(target=reads, args=(h,)) for h in early + later]
    for t in threads:
        t.start()
    clock.passes(14 * 60 + 30) # those that were opened first
    lapsed = time.time()
    time.sleep(3.2) # and now their READs wait
    check(all(good[h] - lapsed < 1.5 for h in early), f'the first go: {sorted(good[h] - lapsed for h in early)}')
    check(all(time.time() - good[h] < 1 for h in later), 'the others stay')
    clock.passes(60)
    lapsed = time.time()
    time.sleep(3)
    check(all(good[h] - lapsed < 1.5 for h in later), f'then the others: {sorted(good[h] - lapsed for h in later)}')
    check(job()['shares'] == {'text': 0, 'image': 0}, 'nothing is held')
    over.set()
    world.proxy.mode = 'pass'
    world.proxy.hang_up()
    for t in threads:
        t.join()
    for h in early + later:
        h.close()
    clock.passes(6)
    becomes(photo(31), 0, 'and it recovers', 12)


def stored_late():
    """A thread that was kept from running stores the pages after the share has lapsed: they do not stay."""
    results = []
    late.touch()
    opens = threading.Thread(target=lambda: results.append(errno_of(lambda: open(photo(22), 'rb'))))
    opens.start()
    time.sleep(1.5)
    check(not results, 'it hangs before the pages')
    world.proxy.refuse()
    clock.passes(16 * 60)
    time.sleep(2.5)
    late.unlink()
    opens.join()
    check(results == [ENOKEY], f'it opens no more: {results}')
    world.proxy.mode = 'pass'
    clock.passes(6)
    becomes(photo(22), 0, 'and with the desk it does', 12)


def cut_and_slow():
    world.proxy.mode = 'cut'
    check(timed(photo(3), 5.5)[0] == ENOKEY, 'an answer cut short is none')
    world.proxy.mode = 'pass'
    becomes(photo(3), 0, 'and the next is taken', 8)
    world.proxy.mode = 'slow'
    world.proxy.delay = 7
    start = time.time()
    results = []
    threads = [threading.Thread(target=lambda i=i: results.append(timed(photo(i)))) for i in range(24, 28)]
    threads += [threading.Thread(target=lambda i=i: results.append(timed(photo(i)))) for i in range(28, 40)]
    threads += [threading.Thread(target=lambda i=i: results.append(timed(mnt / 'cards/records' / ref_of(i) / 'rank'))) for i in range(0, 24)]
    for t in threads:
        t.start()
    time.sleep(0.3)
    for i in range(RECORDS):
        check(timed(photo(i, 'plain'), 1)[0] == 0, 'forty that wait keep nobody from another job')
    check(time.time() - start < 4, 'meanwhile they wait')
    for t in threads:
        t.join()
    check({e for e, _ in results} == {ENOKEY}, f'no answer in time is no share: {results}')
    check(all(4.5 < took < 7 for _, took in results), f'after five seconds: {sorted(took for _, took in results)}')
    check(timed(photo(27), 1)[0] == ENOKEY, 'and then at once')
    world.proxy.mode = 'pass'
    becomes(photo(24), 0, 'what came late is in time for the next', 12)


def budgets():
    check('cards.csv' not in os.listdir(mnt / 'few'), 'no table of all')
    becomes(photo(0, 'few'), 0, 'one of twelve', 8)
    for i in (3, 6, 9, 12, 15, 18, 21, 24):
        err = errno_of(lambda: read(photo(i, 'few')))
        check(err == 0, f'one by one: {i}, errno {err}, {len(released("image", "few"))} released, {status()["desk"]}')
    check(len(released('image', 'few')) <= 12, 'never more than the budget')
    errors = [errno_of(lambda i=i: read(photo(i, 'few'))) for i in range(26, 40)]
    check(EDQUOT in errors and set(errors) <= {0, EDQUOT}, f'then it is used up: {errors}')
    check(len(released('image', 'few')) == 12, 'to the last')
    check(errno_of(lambda: read(photo(3, 'few'))) == 0, 'what was released opens')
    before = world.proxy.seen
    errors = [errno_of(lambda i=i: read(photo(i, 'few'))) for i in range(RECORDS)]
    check(sorted(errors) == [0] * 12 + [EDQUOT] * (RECORDS - 12), f'another walk: {errors}')
    check(world.proxy.seen == before, f'of which the desk is not asked: {world.proxy.seen - before} exchanges')


def leaves():
    """Asked to go while a file waits for the desk, the mount goes."""
    clock.passes(16 * 60) # of those that waited before, nobody knows which were released
    end = time.time() + 8
    while job()['shares'] != {'text': 0, 'image': 0}:
        check(time.time() < end, 'the leases run out')
        time.sleep(0.1)
    world.proxy.mode, results = 'slow', []
    pid = world.pid_of(mnt, exe='VAULTFS_CLOCK')
    waiting = threading.Thread(target=lambda: results.append(timed(photo(38))))
    waiting.start()
    time.sleep(0.5)
    check(not results, f'it waits: {results}')
    start = time.time()
    os.kill(pid, signal.SIGTERM)
    while pid in world.daemons():
        check(time.time() - start < 4, 'the mount goes at once')
        time.sleep(0.05)
    waiting.join()
    check(results[0][0] in (ENODEV, ENOTCONN, ENOKEY), f'and whoever waits is told: {results}')
    world.mounts.clear()
    world.proxy.mode = 'pass'
    world.proxy.hang_up()
    mount()
    becomes(photo(38), 0, 'and comes again', 8)


def revoked():
    held = open(photo(24), 'rb')
    grant = job()['grant']
    out = world.dir / 'cards.revoked'
    world.keytool('grant', 'revoke', '--reason', 'test', '--key', world.key('alice'), '-o', out, grant, world.vault)
    world.desk('receive', world.store, out)
    becomes(photo(20), EKEYREVOKED, 'the desk tells of it with the next file')
    becomes(photo(24), EKEYREVOKED, 'then nothing of it opens', 2)
    loses(held, EKEYREVOKED, 2)
    held.close()
    check(errno_of(lambda: read(photo(1, 'plain'))) == 0, 'the others go on')
    world.unmount(mnt)
    world.stop()
    mount()
    check(errno_of(lambda: read(photo(24))) == EKEYREVOKED, 'after another start without desk or notice too')


def ended():
    world.serve()
    becomes(photo(3, 'few'), 0, 'the desk is back', 8)
    held = open(photo(3, 'few'), 'rb')
    clock.passes(3 * 3600)
    becomes(photo(3, 'few'), EKEYEXPIRED, 'the end')
    loses(held, EKEYEXPIRED, 1)
    held.close()
    check('ended on' in text('few'), 'and GRANT.txt says so')


for part in (first_reads, walks, leases, renewed, away, lapses_together, stored_late, cut_and_slow, budgets, leaves, revoked, ended):
    start = time.time()
    part()
    print(f'{part.__name__}: {time.time() - start:.1f} s')
start = time.time()
world.unmount(mnt)
check(time.time() - start < 10, 'unmounting waits for nobody')
world.keytool('audit', 'verify', station / 'log')
world.keytool('audit', 'verify', world.store / 'log')
print('online grants open with the desk, and with nothing else')
