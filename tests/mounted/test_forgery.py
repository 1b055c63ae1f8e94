# SPDX-License-Identifier: MIT
"""A real station's log with many checkpoints, changed in every way that somebody might: a byte anywhere, entries removed, doubled, moved, inserted,
two logs spliced, the tail cut, old checkpoints put back, and everything rewritten by who holds the device's identity and the current seal
secret. `audit verify` finds each (exit 3) and names the place; so does the force when the log is handed in."""
import base64
import json
import os
import pathlib
import random
import re
import shutil
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / 'reader')]

import nacl.bindings as nb  # noqa: E402

from world import World, check, read  # noqa: E402
import reader  # noqa: E402

rng = random.Random(int(os.environ.get('VAULTFS_TEST_SEED', '3')))


class Log:
    """A log folder as lists of lines and of checkpoint notes."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        segments = sorted(self.folder.glob('entries-*.jsonl'))
        self.name = segments[0].name
        self.lines = b''.join(s.read_bytes() for s in segments).split(b'\n')[:-1]
        records = (self.folder / 'checkpoints').read_bytes().split(b'\n\n')
        self.checkpoints = [records[i] + b'\n\n' + records[i + 1] + b'\n\n' for i in range(0, len(records) - 1, 2)]

    def sizes(self):
        return [int(c.split(b'\n')[1]) for c in self.checkpoints]

    def write(self, folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        shutil.copy(self.folder / 'origin', folder / 'origin')
        (folder / self.name).write_bytes(b''.join(line + b'\n' for line in self.lines))
        (folder / 'checkpoints').write_bytes(b''.join(self.checkpoints))
        return folder

    def copy(self):
        twin = Log.__new__(Log)
        twin.folder, twin.name, twin.lines, twin.checkpoints = self.folder, self.name, list(self.lines), list(self.checkpoints)
        return twin

    def origin_line(self):
        return self.checkpoints[0].split(b'\n')[0]


def renumber(lines, start):
    """`lines` with the seq that they need to stand from `start` on."""
    return [re.sub(rb'^\{"seq":\d+', b'{"seq":%d' % (start + i), line) for i, line in enumerate(lines)]


def checkpoint(origin, lines, size, seed):
    """A checkpoint note over the first `size` lines, signed with `seed`."""
    tree = reader.Tree()
    for line in lines[:size]:
        tree.add(line)
    public, secret = nb.crypto_sign_seed_keypair(seed)
    text = origin + b'\n%d\n' % size + base64.b64encode(tree.root()) + b'\n'
    box = reader.key_id(origin.decode(), 1, public) + nb.crypto_sign(text, secret)[:64]
    return text + b'\n\xe2\x80\x94 ' + origin + b' ' + base64.b64encode(box) + b'\n\n'


class Court:
    """A station, its log, and the verdict on what became of it."""

    def __init__(self):
        self.world = World(records=10)
        self.station, self.enrol = self.world.station()
        self.world.deliver(self.station, self.enrol)
        mnt = self.world.mount(self.station)
        photos = sorted((mnt / 'cards/photos').iterdir())
        for second in range(9):
            for p in photos[:2 + second % 4]:
                read(p)
            time.sleep(1.05)
        self.world.unmount(mnt)
        self.log = Log(self.station / 'log')
        self.seed = seal_secret(self.station)  # of this moment: each hand-in makes a new one
        check(len(self.log.checkpoints) >= 9 and self.log.sizes()[-1] == len(self.log.lines), f'many checkpoints: {self.log.sizes()}')
        self.work = self.world.dir / 'work'
        self.verdict(self.log, 'the log as it is', good=True)

    def verify(self, path, *options):
        return self.world.keytool('audit', 'verify', '--json', '--enrol', self.enrol, *options, path, expect=None)

    def verdict(self, log, what, place=None, good=False, options=()):
        """Exit 3, and a finding that names the place: `place` is (kind, number), kinds entry and checkpoint (from 1)."""
        path = log.write(self.work) if isinstance(log, Log) else log
        p = self.verify(path, *options)
        check(p.returncode == (0 if good else 3), f'{what}: exit {p.returncode}: {p.stdout}{p.stderr}')
        found = json.loads(p.stdout)['findings'] if p.stdout else [p.stderr]
        check(good == (not found), f'{what}: {found}')
        if place:
            check(any(names(text, *place) for text in found), f'{what}: {found} does not name {place}')
        return found


def names(text, kind, number):
    if kind == 'origin':
        return 'origin' in text
    if kind == 'checkpoint':
        return any(int(n) == number for n in re.findall(r'checkpoint (\d+)', text))
    spans = [(int(a), int(b)) for a, b in re.findall(r'entries (\d+) to (\d+)', text)]
    spans += [(int(a), int(a)) for a in re.findall(r'entry (\d+)', text)]
    spans += [(int(a) + 1, int(a) + 1) for a in re.findall(r'after entry (\d+) stands', text)]
    return any(a <= number <= b for a, b in spans)


def single_bytes(court):
    """One bit in any file of the log, and in the handed-in file."""
    log, start = court.log, 0
    files = ['origin', 'checkpoints', log.name]
    bounds, at = [], 0
    for line in log.lines:
        at += len(line) + 1
        bounds.append(at)
    ends, at = [], 0
    for c in log.checkpoints:
        at += len(c)
        ends.append(at)
    for name in files:
        whole = (log.folder / name).read_bytes()
        for place in sorted(rng.sample(range(len(whole)), 60)) + [0, len(whole) - 1]:
            data = bytearray(whole)
            data[place] ^= 1 << rng.randrange(8)
            log.write(court.work)
            (court.work / name).write_bytes(data)
            if name == 'origin':
                wanted = ('origin', 0)
            elif name == 'checkpoints':
                wanted = ('checkpoint', 1 + next(i for i, end in enumerate(ends) if place < end))
            else:
                wanted = ('entry', next(i for i, end in enumerate(bounds) if place < end))
            if name == 'checkpoints' and place >= ends[-2]:
                # The last one: torn, as after a crash, or false. Both are told; a torn one leaves its entries unproven.
                p = court.verify(court.work)
                check(p.returncode == 3 or 'not sealed' in p.stdout, f'byte {place} of the last checkpoint: {p.stdout}')
                continue
            if wanted == ('entry', len(log.lines) - 1) and place == len(whole) - 1:
                wanted = ('checkpoint', len(log.checkpoints))  # a last line without its end is no line
            court.verdict(court.work, f'{name}, byte {place}', wanted)
    handin = court.world.dir / 'station.log'
    court.world.keytool('station', 'handin', court.station, '-o', handin)
    whole = handin.read_bytes()
    for place in list(range(0, 40)) + sorted(rng.sample(range(len(whole)), 60)) + [len(whole) - 1]:
        data = bytearray(whole)
        data[place] ^= 1 << rng.randrange(8)
        path = court.world.dir / 'evil.log'
        path.write_bytes(data)
        court.verdict(path, f'handed-in file, byte {place}')
        if place % 7 == 0:
            p = court.world.keytool('device', 'handin', path, '--key', court.world.key('alice'), court.world.vault, expect=None)
            check(p.returncode in (1, 3), f'the force takes a handed-in file with byte {place} changed: {p.returncode} {p.stdout}{p.stderr}')
    for cut in sorted(rng.sample(range(len(whole)), 12)):
        path.write_bytes(whole[:cut])
        court.verdict(path, f'handed-in file cut at {cut}')


def entries_moved(court):
    """Sealed entries removed, doubled, exchanged, inserted; with their numbers as they were, and mended."""
    log, sealed = court.log, court.log.sizes()[-2]
    for what in ('removed', 'doubled', 'exchanged', 'inserted', 'moved', 'changed'):
        for mended in (False, True):
            for at in (0, 1, rng.randrange(2, sealed - 3), sealed - 2):
                evil = log.copy()
                if what == 'removed':
                    del evil.lines[at]
                elif what == 'doubled':
                    evil.lines.insert(at, evil.lines[at])
                elif what == 'exchanged':
                    evil.lines[at], evil.lines[at + 1] = evil.lines[at + 1], evil.lines[at]
                elif what == 'inserted':
                    evil.lines.insert(at, log.lines[sealed - 1 - at])
                elif what == 'moved':
                    evil.lines.insert(sealed - 2, evil.lines.pop(at))
                else:
                    evil.lines[at] = evil.lines[at].replace(b'"result":"ok"', b'"result":"no"')
                if evil.lines == log.lines:
                    continue
                if mended:
                    evil.lines = renumber(evil.lines, 0)
                    if evil.lines == log.lines:
                        continue
                first = next(i for i, (a, b) in enumerate(zip(evil.lines + [b''], log.lines + [b''])) if a != b)
                # A line that stands twice is named by its own number, which is that of the line before the difference.
                place = ('entry', first - 1 if what == 'doubled' and not mended else first)
                court.verdict(evil, f'an entry {what} at {at}{", numbers mended" if mended else ""}', place)


def spliced(court, other):
    """Two stations' logs put together, each way."""
    log = court.log
    mine, theirs = log.sizes(), other.log.sizes()
    for cut in (2, 5):
        evil = log.copy()
        evil.lines = log.lines[:mine[cut]] + renumber(other.log.lines[theirs[cut]:], mine[cut])
        evil.checkpoints = log.checkpoints[:cut + 1] + other.log.checkpoints[cut + 1:]
        found = court.verdict(evil, 'another log\'s end', ('checkpoint', cut + 2))
        check(any('spliced' in f for f in found), f'named as what it is: {found}')
        evil = log.copy()
        evil.lines[mine[cut]:mine[cut + 1]] = renumber(other.log.lines[theirs[cut]:theirs[cut + 1]], mine[cut])
        court.verdict(evil, 'another log\'s middle', ('entry', mine[cut]))
    shutil.rmtree(court.work)
    shutil.copytree(other.log.folder, court.work)
    found = court.verdict(court.work, 'another station\'s log', ('origin', 0))
    check('enrolled' in found[0], 'not the log that was enrolled')


def tails(court):
    """What was cut off shows when a checkpoint of it is held elsewhere; and by itself when only checkpoints, or only entries, are gone."""
    log, sizes = court.log, court.log.sizes()
    held = court.world.dir / 'held'
    for keep in (0, 3, len(sizes) - 2):
        evil = log.copy()
        evil.lines, evil.checkpoints = evil.lines[:sizes[keep]], evil.checkpoints[:keep + 1]
        court.verdict(evil, 'cut at a checkpoint: nothing shows it', good=True)
        held.write_bytes(log.checkpoints[-1][:-1])
        found = court.verdict(evil, 'cut below a checkpoint that is held', options=('--checkpoint', held))
        check(any('cut off' in f and str(sizes[-1]) in f for f in found), f'named: {found}')
    evil = log.copy()
    evil.lines = evil.lines[:sizes[4] + 1]
    court.verdict(evil, 'entries cut, checkpoints left', ('checkpoint', 6))
    for missing in (1, 2, 4):
        evil = log.copy()
        evil.checkpoints = evil.checkpoints[:-missing]
        good = missing == 1  # as after a crash between sealing and signing
        place = None if good else ('entry', sizes[-missing] - 1)
        court.verdict(evil, f'the last {missing} checkpoints gone, entries left', place, good=good)
        held.write_bytes(log.checkpoints[-1][:-1])
        if good:
            court.verdict(evil, 'the same, held', good=True, options=('--checkpoint', held))
    evil = log.copy()
    evil.checkpoints = []
    court.verdict(evil, 'all checkpoints gone')
    evil = log.copy()
    del evil.checkpoints[3]
    court.verdict(evil, 'one from the middle gone', ('entry', sizes[3] - 1))
    # Of another moment of the same log: a held checkpoint that this log never had.
    held.write_bytes(checkpoint(log.origin_line(), renumber(log.lines[::-1], 0), sizes[3], os.urandom(32))[:-1])
    found = court.verdict(log, 'a held checkpoint of other entries', options=('--checkpoint', held))
    check(any('rewritten' in f for f in found), f'named: {found}')


def old_checkpoints(court):
    """Checkpoints that are seals old put back, doubled, exchanged."""
    log, n = court.log, len(court.log.checkpoints)
    for back in (2, 3, n - 1):
        evil = log.copy()
        evil.checkpoints.append(log.checkpoints[n - 1 - back])
        court.verdict(evil, f'a checkpoint {back} seals old behind the last', ('checkpoint', n + 1))
        evil = log.copy()
        evil.checkpoints[-1] = log.checkpoints[n - 1 - back]
        court.verdict(evil, f'a checkpoint {back} seals old for the last', ('checkpoint', n))
    evil = log.copy()
    evil.checkpoints.insert(4, log.checkpoints[3])
    court.verdict(evil, 'one twice', ('checkpoint', 5))
    evil = log.copy()
    evil.checkpoints[3], evil.checkpoints[4] = evil.checkpoints[4], evil.checkpoints[3]
    court.verdict(evil, 'two exchanged', ('checkpoint', 5))
    evil = log.copy()
    evil.checkpoints[4] = log.checkpoints[4][:-2] + log.checkpoints[5].split(b'\n\n')[1] + b'\n\n'
    court.verdict(evil, 'one with another\'s signature', ('checkpoint', 5))


def seal_secret(station):
    """The current seal secret, as a thief of the running machine finds it."""
    sequence, payload = reader.slots((station / 'seal').read_bytes(), 'VFSEAL01')[0]
    return payload[32:64]


def rewritten(court):
    """By somebody with the device's identity and the current seal secret: he can go on, and nothing else."""
    log, sizes = court.log, court.log.sizes()
    seed = court.seed
    public = nb.crypto_sign_seed_keypair(seed)[0]
    origin = log.origin_line()
    last_seal = json.loads(log.lines[sizes[-1] - 1])
    check(last_seal['event'] == 'seal' and base64.b64decode(last_seal['key']) == public, 'it is the key that the last seal entry names')
    fake = [re.sub(rb'"uid":\d+', b'"uid":4711', line) for line in log.lines]
    check(sum(a != b for a, b in zip(fake, log.lines)) > 20, 'somebody else opened all that')

    def at_time_of(line, other):
        return re.sub(rb'"time":"[^"]*"', re.search(rb'"time":"[^"]*"', other).group(), line)

    def sealed_by(lines, key, at):
        """`lines` with a seal entry of `key` at `at`."""
        entry = re.sub(rb'"key":"[^"]*"', b'"key":"' + base64.b64encode(key) + b'"', log.lines[sizes[0] - 1])
        return lines[:at] + renumber([at_time_of(entry, lines[at - 1])], at) + lines[at + 1:]

    # 1. All checkpoints anew with the one secret he has.
    evil = log.copy()
    evil.lines = fake
    evil.checkpoints = [checkpoint(origin, fake, size, seed) for size in sizes]
    court.verdict(evil, 'everything under the current secret', ('checkpoint', 1))
    # 2. Seal entries too, naming that key everywhere.
    lines = fake
    for size in sizes:
        lines = sealed_by(lines, public, size - 1)
    evil.lines, evil.checkpoints = lines, [checkpoint(origin, lines, size, seed) for size in sizes]
    court.verdict(evil, 'and under seal entries of his own', ('checkpoint', 1))
    # 3. A chain of keys of his own from some point on, the honest part before it.
    for keep in (1, 5, len(sizes) - 2):
        keys = [os.urandom(32) for _ in sizes]
        lines = log.lines[:sizes[keep]] + fake[sizes[keep]:]
        for i in range(keep + 1, len(sizes)):
            lines = sealed_by(lines, nb.crypto_sign_seed_keypair(keys[i])[0], sizes[i] - 1)
        for first in (seed, keys[0]):
            signers = dict(zip(range(keep + 1, len(sizes)), [first] + keys[keep + 1:]))
            evil.lines = lines
            evil.checkpoints = log.checkpoints[:keep + 1] + [checkpoint(origin, lines, sizes[i], signers[i]) for i in range(keep + 1, len(sizes))]
            court.verdict(evil, f'a chain of his own after {keep + 1} checkpoints', ('checkpoint', keep + 2))
    # 4. The same, made to look like crashes: seal entries followed by recover entries, one checkpoint at the end.
    keep = 3
    seal, at = log.lines[sizes[0] - 1], sizes[keep]
    recover = re.sub(rb'"event":"mount"', b'"event":"recover"', next(l for l in log.lines if b'"event":"mount"' in l))
    lines = sealed_by(log.lines[:at] + [seal], nb.crypto_sign_seed_keypair(keys[0])[0], at)
    lines += renumber([at_time_of(line, lines[-1]) for line in (recover, fake[at + 1], seal)], at + 1)
    evil.lines = lines
    evil.checkpoints = log.checkpoints[:keep + 1] + [checkpoint(origin, lines, len(lines), keys[0])]
    court.verdict(evil, 'made to look like a crash', ('checkpoint', keep + 2))
    # 5. A new log with a new origin, signed by the device he holds.
    evil_station, _ = court.world.station('another')
    shutil.rmtree(court.work)
    shutil.copytree(evil_station / 'log', court.work)
    court.verdict(court.work, 'a new origin', ('origin', 0))
    device = reader.Identity(reader.slots((court.station / 'identity').read_bytes(), 'VFDEVID1')[0][1])
    keys = [os.urandom(32) for _ in sizes]
    text = re.sub(rb'(?m)^seal .*$', b'seal ' + base64.b64encode(nb.crypto_sign_seed_keypair(keys[0])[0]),
                  (log.folder / 'origin').read_bytes().split(b'\n\n')[0] + b'\n')
    box = reader.key_id('printer', 1, device.public.sign) + nb.crypto_sign(text, device.sign_secret)[:64]
    lines = fake
    for i, size in enumerate(sizes[:-1]):
        lines = sealed_by(lines, nb.crypto_sign_seed_keypair(keys[i + 1])[0], size - 1)
    evil.lines, evil.checkpoints = lines, [checkpoint(origin, lines, size, keys[i]) for i, size in enumerate(sizes)]
    evil.write(court.work)
    (court.work / 'origin').write_bytes(text + b'\n\xe2\x80\x94 printer ' + base64.b64encode(box) + b'\n')
    found = court.verdict(court.work, 'the whole log anew under an origin that the device signed', ('origin', 0))
    check(len(found) == 1, f'only the enrolment tells: {found}')
    # 6. What he can do: go on. That is the promise's edge, and it is as the threat model says.
    evil = log.copy()
    own = os.urandom(32)
    evil.lines = log.lines + renumber([at_time_of(line, log.lines[-1]) for line in (fake[5], log.lines[sizes[0] - 1])], len(log.lines))
    evil.lines = sealed_by(evil.lines, nb.crypto_sign_seed_keypair(own)[0], len(evil.lines) - 1)
    evil.checkpoints = log.checkpoints + [checkpoint(origin, evil.lines, len(evil.lines), seed)]
    court.verdict(evil, 'going on with the current secret', good=True)


def handed_in(court):
    """The force holds what was handed in: a station put back to yesterday, and gone on from there, is told."""
    world, station = court.world, court.station
    yesterday = world.dir / 'yesterday'
    shutil.copytree(station, yesterday)
    mnt = world.mount(station)
    read(sorted((mnt / 'cards/photos').iterdir())[5])
    world.unmount(mnt)
    handin = world.dir / 'today.log'
    world.keytool('station', 'handin', station, '-o', handin)
    receipt = world.dir / 'receipt'
    world.keytool('device', 'handin', handin, '--key', world.key('alice'), '-o', receipt, world.vault)
    shutil.rmtree(station)
    shutil.copytree(yesterday, station)
    p = world.keytool('station', 'receive', station, receipt, expect=3)
    check('old copy' in p.stdout + p.stderr, 'the station hears of it from the receipt')
    later = world.dir / 'later.log'
    world.keytool('station', 'handin', station, '-o', later)
    p = world.keytool('device', 'handin', later, '--key', world.key('alice'), world.vault, expect=3)
    for i in range(2):
        mnt = world.mount(station)
        for photo in sorted((mnt / 'cards/photos').iterdir()):
            read(photo)
        world.unmount(mnt)
    world.keytool('station', 'handin', station, '--force', '-o', later)
    p = world.keytool('device', 'handin', later, '--key', world.key('alice'), world.vault, expect=3)
    found = court.verdict(later, 'the log of a station put back', options=('--checkpoint', receipt))
    check(any('rewritten' in f or 'cut off' in f for f in found), f'named: {found}')
    # Half of it put back: seal keys and log are not of the same moment.
    shutil.rmtree(station / 'log')
    shutil.copytree(yesterday / 'log', station / 'log')
    p = world.run(os.environ['VAULTFS'], station, mnt, expect=3)
    check('log' in p.stderr and not os.path.ismount(mnt), f'a log without its seal does not mount: {p.stderr}')


court = Court()
single_bytes(court)
entries_moved(court)
other = Court()
spliced(court, other)
tails(court)
old_checkpoints(court)
rewritten(court)
handed_in(court)
print(f'{len(court.log.lines)} entries, {len(court.log.checkpoints)} checkpoints: every change is found and named')
