# SPDX-License-Identifier: MIT
"""A supplier who holds everything the station has, device keys included, tries to make the mount serve something else than the force signed: in
bundles, in grant files, in the station's database before a mount and under a running one. Refused or EIO, never another byte; never a hang."""
import errno
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / 'reader'), str(HERE.parent / 'attack')]

from world import World, check, entries, errno_of, read, skip  # noqa: E402

try:
    import lmdb  # noqa: F401
except ImportError:
    skip('python3-lmdb is not installed')
import reader  # noqa: E402
import thief  # noqa: E402

PHOTO, NAME, RANK = (reader.NUMBER[n] for n in ('photo', 'name_on_card', 'rank'))
FROM, TO, SERIAL = (reader.NUMBER[n] for n in ('valid_from', 'valid_to', 'card_serial'))
rng = random.Random(int(os.environ.get('VAULTFS_TEST_SEED', '5')))


def walk(mnt):
    """Every file of the job and what reading it gives: bytes, or an errno. Listings that fail count as files."""
    found = {}

    def failed(e):
        found[e.filename] = e.errno
    for folder, _, files in os.walk(mnt, onerror=failed):
        for name in files:
            path = os.path.join(folder, name)
            if name == 'GRANT.txt' or name.startswith('.'):
                continue
            try:
                found[path] = read(path)
            except OSError as e:
                found[path] = e.errno
    return found


class Target:
    """A station with one job, and what its mount truly serves."""

    def __init__(self, records=6):
        self.world = World(records=records)
        self.station, self.enrol = self.world.station()
        self.grant, self.bundle = self.world.deliver(self.station, self.enrol)
        self.mnt = self.world.mount(self.station)
        self.good = walk(self.mnt)
        check(all(isinstance(v, bytes) for v in self.good.values()) and len(self.good) == records * 9 + 2, 'everything is served at first')
        self.world.unmount(self.mnt)
        self.thief = thief.Station(self.station)
        self.parsed = reader.Grant(self.grant.read_bytes())
        self.refs = sorted(self.parsed.rows)
        self.clean = self.world.dir / 'clean-station'
        shutil.copytree(self.station, self.clean)

    def restore(self):
        """The station as it was. Its log is put back with it, so this is for tests that look at no log."""
        shutil.rmtree(self.station)
        shutil.copytree(self.clean, self.station)

    def key(self, ref, field):
        generation, digest = self.parsed.rows[ref][field]
        return thief.value_key(ref, field, generation, digest)

    def path(self, ref, field):
        name = reader.FIELDS[field][0]
        return str(self.mnt / 'cards' / (f'photos/{ref}.JPG' if field == PHOTO else f'records/{ref}/{name}'))

    def evil_photo(self, ref):
        true = self.good[self.path(ref, PHOTO)]
        other = self.good[self.path(next(r for r in self.refs if r != ref), PHOTO)]
        body = (other + bytes(len(true)))[:len(true)]
        return thief.forged(self.thief.identity, self.parsed, ref, PHOTO, body)

    def compare(self, got, what, bad=(), may_miss=False):
        """Nothing but the truth: each file is what it was, or EIO. `bad`: paths that must fail, and no others may."""
        wrong = [p for p, v in got.items() if isinstance(v, bytes) and p in self.good and v != self.good[p]]
        check(not wrong, f'{what}: {wrong[:3]} served as something else')
        check(not set(got) - set(self.good) - {p for p, v in got.items() if not isinstance(v, bytes)}, f'{what}: files that were not there')
        errors = {v for v in got.values() if not isinstance(v, bytes)}
        check(errors <= {errno.EIO}, f'{what}: errors {errors}')
        if not may_miss:
            check(set(got) == set(self.good), f'{what}: all files are there')
        if bad:
            failing = {p for p, v in got.items() if not isinstance(v, bytes)}
            check(failing == set(bad) | ({p for p in self.good if 'cards' in os.path.basename(p)} if any('records' in p for p in bad) else set()),
                  f'{what}: {sorted(failing)} fail instead of {bad}')


def refused(world, station, path, what, codes=(3,)):
    p = world.keytool('station', 'receive', station, path, expect=None)
    check(p.returncode in codes, f'{what}: exit {p.returncode}: {p.stdout}{p.stderr}')
    said = (p.stdout + p.stderr).strip().splitlines()
    check(0 < len(said) <= 3 and path.name in said[0], f'{what}: says which file and why: {said}')


# ------------------------------------------------------------------------------------------------------------------- bundles

def bundles():
    """In place of the real delivery, and into a mount that runs."""
    t = Target(4)
    world = t.world
    real = reader.Bundle(t.bundle.read_bytes())
    a, b = t.refs[:2]
    vault = t.parsed.vault

    def entry(ref, field):
        return (ref, field, t.parsed.rows[ref][field][0])

    def with_values(**changes):
        values = dict(real.values)
        for _, (to, sealed) in changes.items():
            values[to] = sealed
        return reader.bundle_bytes(vault, values)

    # The values of a later generation, and a bundle of the earlier one.
    world.keytool('record', 'set', '--ref', a, 'name_on_card=Another Name', '--key', world.key('alice'), world.vault)
    later_station, later_enrol = world.station('later')
    later_grant = world.grant(later_enrol, job='cards', out=world.dir / 'later.grant')
    later_bundle = world.bundle(later_grant)
    later = reader.Grant(later_grant.read_bytes())
    check(later.rows[a][NAME][0] == t.parsed.rows[a][NAME][0] + 1, 'the generation counts up')
    later_values = reader.Bundle(later_bundle.read_bytes()).values
    moved_generation = dict(later_values)
    moved_generation[a, NAME, later.rows[a][NAME][0]] = real.values[entry(a, NAME)]

    evil = {
        'two records changed places': with_values(x=(entry(a, NAME), real.values[entry(b, NAME)]), y=(entry(b, NAME), real.values[entry(a, NAME)])),
        'two fields changed places': with_values(x=(entry(a, FROM), real.values[entry(a, TO)]), y=(entry(a, TO), real.values[entry(a, FROM)])),
        'one record\'s photo for another': with_values(x=(entry(a, PHOTO), real.values[entry(b, PHOTO)])),
        'a photo encrypted again': with_values(x=(entry(a, PHOTO), t.evil_photo(a))),
        'a text encrypted again': with_values(x=(entry(b, RANK), thief.forged(t.thief.identity, t.parsed, b, RANK, b'Commander'))),
    }
    for running in (False, True):
        fresh, enrol = world.station(f'fresh-{running}'.lower())
        grant = world.grant(enrol, out=world.dir / f'fresh-{running}.grant')
        mnt = None
        # The real bundle of this station: everything in it is what the vault now has.
        good = world.bundle(grant)
        values = reader.Bundle(good.read_bytes()).values
        parsed = reader.Grant(grant.read_bytes())
        world.receive(fresh, grant)
        if running:
            mnt = world.mount(fresh)
        for what, data in evil.items():
            path = world.dir / 'evil.bundle'
            changed = {k: v for k, v in reader.Bundle(data).values.items() if v != real.values[k]}
            path.write_bytes(reader.bundle_bytes(vault, {**values, **{k: v for k, v in changed.items() if k in values}}))
            refused(world, fresh, path, what)
        for _ in range(40):
            data = bytearray(good.read_bytes())
            at = rng.randrange(len(data))
            data[at] ^= 1 << rng.randrange(8)
            path.write_bytes(data)
            p = world.keytool('station', 'receive', fresh, path, expect=None)
            # A ref, field or generation that nobody granted is not needed: taken for nothing, and told so.
            check(p.returncode in (3, 4) or (p.returncode == 0 and 28 <= at < 28 + 17 * len(values)), f'byte {at}: exit {p.returncode}')
        for cut in [0, 7, 27, 28, len(data) - 1] + [rng.randrange(len(data)) for _ in range(8)]:
            path.write_bytes(good.read_bytes()[:cut])
            refused(world, fresh, path, f'cut at {cut}')
        path.write_bytes(good.read_bytes() + b'\0')
        refused(world, fresh, path, 'a byte too many')
        if mnt:
            names = os.listdir(mnt / 'cards/photos')
            check(all(errno_of(lambda: read(mnt / 'cards/photos' / n)) == 0 for n in names), 'what is listed can be read')
        world.receive(fresh, good)
        if not mnt:
            mnt = world.mount(fresh)
        got = walk(mnt)
        check(all(isinstance(v, bytes) for v in got.values()) and len(got) == 4 * 9 + 2, 'after all that the real delivery is taken')
        photo = got[str(mnt / 'cards/photos' / f'{a}.JPG')]
        check(photo == t.good[t.path(a, PHOTO)], 'and served')
        check(parsed.id in str(entries(fresh / 'log')), 'and logged')
        world.unmount(mnt)
    # Older values for a newer grant.
    world.receive(later_station, later_grant)
    path = world.dir / 'evil.bundle'
    path.write_bytes(reader.bundle_bytes(vault, moved_generation))
    refused(world, later_station, path, 'an older generation under the new number')
    old = world.receive(later_station, t.bundle)
    check('taken' in old.stdout, 'an older bundle: what is still the same is taken')
    mnt = world.mount(later_station)
    check(errno_of(lambda: read(mnt / f'cards/records/{a}/name_on_card')) == errno.EIO, 'the newer value has not arrived, the older one is not served')
    check(read(mnt / f'cards/records/{b}/name_on_card') == t.good[t.path(b, NAME)], 'others are')
    world.receive(later_station, later_bundle)
    for _ in range(60):
        if errno_of(lambda: read(mnt / f'cards/records/{a}/name_on_card')) == 0:
            break
        time.sleep(0.05)
    check(read(mnt / f'cards/records/{a}/name_on_card') == b'Another Name\n', 'now it is')
    world.unmount(mnt)


def deliveries():
    """A bad file in the middle of a delivery costs nothing of the good ones."""
    world = World(records=6)
    station, enrol = world.station()
    refs = sorted(t['ref'] for t in world.truth)
    files = []
    for i in range(3):
        listed = world.dir / 'list'
        listed.write_text('\n'.join(refs[2 * i:2 * i + 2]) + '\n')
        grant = world.grant(enrol, job=f'job-{i}', records=('--list', listed))
        files += [grant, world.bundle(grant)]
    data = bytearray(files[3].read_bytes())
    data[-100] ^= 1
    files[3].write_bytes(data)
    p = world.keytool('station', 'receive', station, *files, expect=5)
    check('1 of 6' in p.stderr, 'one of six is refused')
    mnt = world.mount(station)
    for i in (0, 2):
        check(len(os.listdir(mnt / f'job-{i}/photos')) == 2 and len(read(mnt / f'job-{i}/cards.csv')) > 100, f'job {i} is whole')
    check(os.listdir(mnt / 'job-1/photos') == [], 'the other is not there')
    world.unmount(mnt)


# ------------------------------------------------------------------------------------------------------------------ grant files

def grant_files():
    """Each region of a grant file, several bytes each: refused, and nothing of it mounted."""
    t = Target(3)
    world = t.world
    fresh, enrol = world.station('fresh')
    grant = world.grant(enrol, out=world.dir / 'fresh.grant')
    data = grant.read_bytes()
    note = struct.unpack('>I', data[8:12])[0]
    text = data.index(b'\n\n', 12) + 1
    regions, at = {'head': (0, 12), 'text': (12, text), 'signatures': (text, 12 + note)}, 12 + note
    for name in ('manifest', 'envelopes', 'catalogue'):
        size = struct.unpack('>Q', data[at:at + 8])[0]
        regions[f'length of the {name}'], regions[name] = (at, at + 8), (at + 8, at + 8 + size)
        at += 8 + size
    check(at == len(data), 'the regions cover the file')
    path = world.dir / 'evil.grant'
    for name, (start, end) in regions.items():
        for place in sorted({start, end - 1} | {rng.randrange(start, end) for _ in range(10)}):
            for bit in (0, 7):
                changed = bytearray(data)
                changed[place] ^= 1 << bit
                path.write_bytes(changed)
                # A changed key id or signer's name makes the signature one of nobody known: then signatures are missing (4).
                refused(world, fresh, path, f'{name}, byte {place}', (3, 4) if name in ('signatures', 'text') else (3,))
    # The whole of a region from another grant of the same force to the same device.
    other = reader.Grant(world.grant(enrol, job='other', out=world.dir / 'other.grant').read_bytes())
    mine = reader.Grant(data)
    for name in ('manifest', 'envelopes', 'catalogue'):
        parts = {n: getattr(other if n == name else mine, n) for n in ('manifest', 'envelopes', 'catalogue')}
        path.write_bytes(b'VFGRANT1' + struct.pack('>I', note) + data[12:12 + note]
                         + b''.join(struct.pack('>Q', len(v)) + v for v in parts.values()))
        if parts[name] != getattr(mine, name):
            refused(world, fresh, path, f'{name} of another grant')
    # Hashes mended, signature not.
    evil_manifest = bytearray(mine.manifest)
    evil_manifest[-1] ^= 1
    evil_text = mine.note.text.replace(reader.sha256(mine.manifest).hex().encode(), reader.sha256(bytes(evil_manifest)).hex().encode())
    evil_note = evil_text + data[text:12 + note]
    path.write_bytes(b'VFGRANT1' + struct.pack('>I', len(evil_note)) + evil_note
                     + b''.join(struct.pack('>Q', len(v)) + bytes(v) for v in (evil_manifest, mine.envelopes, mine.catalogue)))
    refused(world, fresh, path, 'a manifest of his own, hashes mended')
    mnt = world.mount(fresh)
    check(all(n.startswith('.') for n in os.listdir(mnt)), 'nothing of all that is mounted')
    world.unmount(mnt)
    # A grant for another device, of another force.
    refused(world, fresh, t.grant, 'a grant for another device', (4,))


# --------------------------------------------------------------------------------------------------------- the station's database

def before_mounting():
    """Rows exchanged and edited in the database while nothing runs."""
    t = Target()
    a, b = t.refs[:2]

    def case(what, edit, bad):
        t.restore()
        with t.thief.open() as db:
            edit(db, dict(db.rows('value')))
        t.world.mount(t.station, where=t.mnt)
        got = walk(t.mnt)
        t.compare(got, what, bad)
        t.world.unmount(t.mnt)
        denied = [e for e in entries(t.station / 'log') if e['event'] == 'deny']
        for path in bad:
            ref = next(r for r in t.refs if r in path)
            check(any(e['result'] == 'EIO' and e.get('refs') == [ref] for e in denied), f'{what}: the log tells of {ref}')
        t.world.keytool('audit', 'verify', '--enrol', t.enrol, t.station / 'log')
        found = t.world.keytool('station', 'check', t.station, expect=None)
        check(found.returncode == 3, f'{what}: station check finds it: {found.returncode} {found.stdout}')

    def swap(field_a, field_b, ref_a, ref_b):
        def edit(db, rows):
            one, two = t.key(ref_a, field_a), t.key(ref_b, field_b)
            db.put('value', one, rows[two])
            db.put('value', two, rows[one])
        return edit

    case('two photos changed places', swap(PHOTO, PHOTO, a, b), [t.path(a, PHOTO), t.path(b, PHOTO)])
    case('two names changed places', swap(NAME, NAME, a, b), [t.path(a, NAME), t.path(b, NAME)])
    case('two fields changed places', swap(FROM, TO, a, a), [t.path(a, FROM), t.path(a, TO)])

    def put_evil(db, rows):
        key = t.key(a, PHOTO)
        db.put('value', key, rows[key][:8] + t.evil_photo(a))
    case('a photo encrypted again by who holds its key', put_evil, [t.path(a, PHOTO)])

    def put_evil_text(db, rows):
        key = t.key(b, RANK)
        db.put('value', key, rows[key][:8] + thief.forged(t.thief.identity, t.parsed, b, RANK, b'Commissioner'))
    case('a rank encrypted again by who holds its key', put_evil_text, [t.path(b, RANK)])

    def flip(db, rows):
        key = t.key(b, PHOTO)
        value = bytearray(rows[key])
        value[len(value) // 2] ^= 0x10
        db.put('value', key, bytes(value))
    case('one bit of a photo', flip, [t.path(b, PHOTO)])

    def cut(db, rows):
        key = t.key(b, PHOTO)
        db.put('value', key, rows[key][:-8192])
    case('a photo cut short', cut, [t.path(b, PHOTO)])

    def nothing_left(db, rows):
        for field in (PHOTO, NAME):
            db.put('value', t.key(b, field), rows[t.key(b, field)][:9])
    case('rows of next to nothing', nothing_left, [t.path(b, PHOTO), t.path(b, NAME)])


def rows_of_the_station():
    """Grants, policy, batches and the rest edited in the database: the job is not shown, or its values fail."""
    t = Target(4)

    def mounted(what, edit, shown):
        t.restore()
        with t.thief.open() as db:
            edit(db)
        p = t.world.run(os.environ['VAULTFS'], t.station, t.mnt, expect=None, timeout=60)
        if p.returncode == 0:
            t.world.mounts.append((t.mnt, None))
            got = walk(t.mnt)
            t.compare(got, what, may_miss=True)
            check(bool(got) == (shown == 'job'), f'{what}: the job is {"" if got else "not "}shown')
            t.world.unmount(t.mnt)
        else:
            check(shown == 'refused' and p.returncode in (1, 3, 4) and len(p.stderr.strip().splitlines()) <= 2, f'{what}: {p.returncode} {p.stderr}')
            check(not os.path.ismount(t.mnt), f'{what}: nothing is mounted')

    with t.thief.open() as db:
        grants, policy = dict(db.rows('grant')), dict(db.rows('policy'))
    (key, row), = grants.items()
    places = {'complete mark': 0, 'magic': 9, 'note': 200, 'signature': 9 + 12 + struct.unpack('>I', row[17:21])[0] - 20}
    for part in ('manifest', 'envelopes', 'catalogue'):
        places[part] = row.index(getattr(t.parsed, part)) + len(getattr(t.parsed, part)) - 40
    for what, place in places.items():
        for bit in (0, 4):
            changed = bytearray(row)
            changed[place] ^= 1 << bit
            mounted(f'grant row: {what}', lambda db: db.put('grant', key, bytes(changed)), 'job' if what == 'complete mark' else 'nothing')
    mounted('grant row gone', lambda db: db.delete('grant', key), 'nothing')
    mounted('grant row empty', lambda db: db.put('grant', key, b''), 'nothing')
    mounted('grant row under another id', lambda db: (db.delete('grant', key), db.put('grant', b'A' * 16, row)), 'job')
    mounted('no batch is committed', lambda db: [db.delete('batch', k) for k, _ in db.rows('batch')], 'job')
    mounted('no values', lambda db: [db.delete('value', k) for k, _ in db.rows('value')], 'job')
    mounted('nonsense in all small tables', lambda db: [db.put(table, k, v) for table in ('meta', 'batch', 'revocation')
                                                        for k, v in ((b'x', b''), (b'batch', b'y'), (bytes(8), b''), (b'\xff' * 32, b'z'))], 'job')
    # A force of his own: same name, his keys.
    evil = World(records=2)
    mounted('a policy of his own', lambda db: db.put('policy', b'chain', evil.policy.read_bytes()), 'refused')
    mounted('policy cut', lambda db: db.put('policy', b'chain', policy[b'chain'][:-10]), 'refused')
    mounted('no policy', lambda db: db.delete('policy', b'chain'), 'refused')
    # His own grant for this device, signed by his own admin, put where a received one would be.
    text = t.parsed.note.text
    evil_note = world_signed(evil, text)
    evil_row = row[:9] + b'VFGRANT1' + struct.pack('>I', len(evil_note)) + evil_note + row[9 + 12 + len(t.parsed.note.data):]
    mounted('a grant that somebody else signed', lambda db: db.put('grant', key, evil_row), 'nothing')


def world_signed(evil, text):
    """`text` signed with the key of another force's alice, under her name."""
    import base64
    identity = reader.Identity(evil.key('alice').read_bytes())
    import nacl.bindings as nb
    signature = nb.crypto_sign(text, identity.sign_secret)[:64]
    box = base64.b64encode(reader.key_id('alice', 1, identity.public.sign) + signature).decode()
    return text + f'\n— alice {box}\n'.encode()


def raw_bytes():
    """data.mdb flipped and cut anywhere, with and without a forged mark of a clean end: never another byte, never a hang."""
    t = Target(4)
    data = t.station / 'db/data.mdb'
    whole = (t.clean / 'db/data.mdb').read_bytes()
    used = len(whole.rstrip(b'\0'))
    outcomes, page = {}, 4096

    def one(what, content, forge):
        t.restore()
        before = os.stat(data)
        with open(data, 'r+b') as f:
            f.write(content)
            f.truncate(len(content))
        if forge:
            mark = f'{os.stat(data).st_ino} {len(content)} {before.st_mtime_ns // 10**9}.{before.st_mtime_ns % 10**9:09d}\n'
            (t.station / 'clean').write_text(mark)
            os.utime(data, ns=(before.st_atime_ns, before.st_mtime_ns))
        p = t.world.run(os.environ['VAULTFS'], t.station, t.mnt, expect=None, timeout=60)
        if p.returncode:
            said = p.stderr.strip().splitlines()
            check(forge or (len(said) == 1 and said[0].startswith('vaultfs: ')), f'{what}: a clear line: {p.stderr}')
            outcomes['refused'] = outcomes.get('refused', 0) + 1
            check(not os.path.ismount(t.mnt), f'{what}: nothing is mounted')
            return
        t.world.mounts.append((t.mnt, None))
        got = walk(t.mnt)
        wrong = [p for p, v in got.items() if isinstance(v, bytes) and v != t.good.get(p)]
        check(not wrong, f'{what}: {wrong[:3]} is something else')
        died = not t.world.daemons()
        errors = {v for v in got.values() if not isinstance(v, bytes)}
        check(errors <= ({errno.EIO, errno.ENOTCONN, errno.ECONNABORTED} if died else {errno.EIO}), f'{what}: {errors}')
        kind = 'died' if died else 'EIO' if errors else 'served' if got else 'no job'
        outcomes[kind] = outcomes.get(kind, 0) + 1
        check(forge or not died, f'{what}: the walk before mounting lets nothing through that kills')
        subprocess.run(['fusermount3', '-u', str(t.mnt)], check=True)
        t.world.mounts.clear()
        for _ in range(200):
            if not t.world.daemons():
                break
            time.sleep(0.05)
        check(not t.world.daemons(), f'{what}: the daemon ends')

    # Half of the places anywhere, half in what is LMDB's own: pages that are no overflow pages of values.
    structure, number = [], 0
    while number * page < used:
        flags, run = struct.unpack('<HI', whole[number * page + 10:number * page + 16])
        if flags & 0x04:
            number += run
            continue
        structure.append(number)
        number += 1
    check(len(structure) > 5, 'pages of LMDB\'s own')
    for i in range(60):
        at = rng.randrange(used) if i % 4 < 2 else rng.choice(structure) * page + rng.randrange(rng.choice((16, 200, page)))
        changed = bytearray(whole)
        changed[at] ^= 1 << rng.randrange(8)
        one(f'byte {at}', bytes(changed), i % 2 == 1)
    for i, size in enumerate([0, 1, page, 2 * page, 3 * page - 1, used // 2, used - page, used - 1] + [rng.randrange(used) for _ in range(4)]):
        one(f'cut at {size}', whole[:size], i % 2 == 1)
    check(outcomes.get('refused', 0) and outcomes.get('EIO', 0), f'both happened: {outcomes}')
    return outcomes


def under_a_mount():
    """The database is written to while it is mounted; then toggled as fast as it goes."""
    t = Target(4)
    a, b = t.refs[:2]
    t.world.mount(t.station, where=t.mnt)
    with t.thief.open() as db:
        rows, grants = dict(db.rows('value')), dict(db.rows('grant'))
        db.put('value', t.key(a, PHOTO), rows[t.key(b, PHOTO)])
        db.put('value', t.key(b, PHOTO), rows[t.key(b, PHOTO)][:8] + t.evil_photo(b))
        t.compare(walk(t.mnt), 'values changed while mounted', [t.path(a, PHOTO), t.path(b, PHOTO)])
        for ref in (a, b):
            db.put('value', t.key(ref, PHOTO), rows[t.key(ref, PHOTO)])
        t.compare(walk(t.mnt), 'and put back')
        (key, row), = grants.items()
        at = row.index(t.parsed.manifest) + len(t.parsed.manifest) - 10
        changed = bytearray(row)
        changed[at] ^= 1
        db.put('grant', key, bytes(changed))
        last = t.refs[-1]
        got = walk(t.mnt)
        t.compare(got, 'the grant changed while mounted', [p for p in t.good if last in p])
        db.put('grant', key, row)
        t.compare(walk(t.mnt), 'and put back')
    denied = [e for e in entries(t.station / 'log') if e['event'] == 'deny' and e['result'] == 'EIO']
    check({e['refs'][0] for e in denied if 'refs' in e and e['refs'] != 'all'} >= {a, b, t.refs[-1]}, 'the log tells of each')
    toggled(t, a)
    t.world.unmount(t.mnt)


def toggled(t, ref):
    """data.mdb shows the real ciphertext and a forged one in turn, while the photo is opened over and over."""
    with t.thief.open() as db:
        sealed = dict(db.rows('value'))[t.key(ref, PHOTO)][8:]
    evil = t.evil_photo(ref)
    data = t.station / 'db/data.mdb'
    at = read(data).find(sealed)
    check(at > 0 and len(evil) == len(sealed), 'the ciphertext lies in one piece')
    code = '''
import os, random, sys, time
path, at, one, two = sys.argv[1], int(sys.argv[2]), open(sys.argv[3], 'rb').read(), open(sys.argv[4], 'rb').read()
fd, r, end = os.open(path, os.O_RDWR), random.Random(1), time.time() + 6
while time.time() < end:
    for data in (one, two):
        os.pwrite(fd, data, at)
        until = time.perf_counter() + r.random() * 4e-4
        while time.perf_counter() < until:
            pass
os.pwrite(fd, two, at)
'''
    for name, content in (('evil', evil), ('real', sealed)):
        (t.world.dir / name).write_bytes(content)
    p = subprocess.Popen([sys.executable, '-c', code, str(data), str(at), str(t.world.dir / 'evil'), str(t.world.dir / 'real')])
    path, good, seen = t.path(ref, PHOTO), t.good[t.path(ref, PHOTO)], {'good': 0, 'EIO': 0}
    while p.poll() is None:
        try:
            got = read(path)
            check(got == good, 'a forged photo was served')
            seen['good'] += 1
        except OSError as e:
            check(e.errno == errno.EIO, f'errno {e.errno}')
            seen['EIO'] += 1
    check(p.returncode == 0 and seen['good'] > 50 and seen['EIO'] > 50, f'both were met: {seen}')
    check(read(path) == good, 'the real one is served at the end')


bundles()
deliveries()
grant_files()
before_mounting()
rows_of_the_station()
outcomes = raw_bytes()
under_a_mount()
print(f'nothing but what was signed; 72 damaged databases: {outcomes}')
