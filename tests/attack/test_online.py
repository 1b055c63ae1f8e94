# SPDX-License-Identifier: MIT
"""
P3: what is left of an online grant when it is over. The thief gets everything that is stored: the station, every file the supplier ever received or
wrote, and a copy of the desk's whole disk with the desk's own identity. He knows every format, and walks every key that he can derive: every
secret of both machines, every label of the key derivation over each, as field key, envelope key, release share, release secret and as the
secret half of a prekey; and every 32 bytes of the desk's files as one.

Over by its end, by a revocation before it, and by the last day of its batch for a grant that no desk ever saw. Controls: the same walk on copies taken
within the window opens every record, with both machines' secrets, and nothing without the supplier's; and the mount's memory within the window
holds the shares of the records that the desk's log says were released, and of no others.
"""
import datetime
import json
import pathlib
import re
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / 'reader'), str(HERE.parent / 'mounted')]

import nacl.bindings as nb  # noqa: E402
import nacl.exceptions  # noqa: E402

import desk as d  # noqa: E402
import world as w  # noqa: E402
from reader import (IMAGE, TEXT, Bad, Backup, Bundle, Grant, Identity, aead_open, envelope_key, frame, kdf, offline_share,  # noqa: E402
                    slots, u32, value_open)

check = w.check
NAMES = {TEXT: 'text', IMAGE: 'image'}


def shares_opened(grant, share, candidates):
    """{(ref, part)} that some candidate opens: as release share, as release secret, as envelope key."""
    found = set()
    for ref in grant.rows:
        for part in (TEXT, IMAGE):
            n = len(grant.of_part[part])
            ad = frame('vaultfs v1 envelope', grant.vault, grant.id.encode(), ref.encode(), bytes([part]), u32(n))
            for key in candidates:
                tries = [key]
                if share is not None:
                    tries += [envelope_key(share, key, grant.id, ref, part),
                              envelope_key(share, kdf(key, 'vaultfs v1 release share', ref.encode(), bytes([part])), grant.id, ref, part)]
                for ek in tries:
                    try:
                        aead_open(ek, bytes(24), ad, grant.boxes[ref, part])
                        found.add((ref, part))
                    except Bad:
                        pass
    return found


def values_opened(grant, bundle, candidates):
    """Values that a candidate opens as their field key."""
    found = 0
    for (ref, field, generation), sealed in bundle.values.items():
        for key in candidates:
            try:
                value_open(key, grant.vault, ref, field, generation, sealed)
                found += 1
            except Bad:
                pass
    return found


class Thief:
    """Keys from what he has: `station` and `desk` are folders or None, `desk_key` the desk's identity, open."""

    def __init__(self, station=None, desk=None, desk_key=None):
        self.secrets, self.windows, self.device, self.desk = set(), set(), None, desk
        if station is not None:
            self.device = Identity(slots((station / 'identity').read_bytes(), 'VFDEVID1')[0][1])
            self.secrets |= {self.device.seed, self.device.box, kdf(self.device.seed, 'vaultfs v1 station key')}
            for name in ('clock', 'pin', 'seal', 'known'):
                self.take_windows(station / name, 4)
        if desk is not None and desk_key is not None:
            identity = Identity(desk_key.read_bytes())
            self.secrets |= {identity.seed, identity.box, identity.cosign_seed}
            self.unwrap(identity)
        if desk is not None:
            for path in sorted((desk / 'prekeys').iterdir()):
                self.take_windows(path, 1)
            self.take_windows(desk / 'seal', 4)
            self.take_windows(desk / 'db/data.mdb', 8)

    def take_windows(self, path, step):
        if not path.exists():
            return
        data = path.read_bytes()
        self.windows |= {data[i:i + 32] for i in range(0, len(data) - 31, step)}

    def unwrap(self, identity):
        """Every slot of every batch, with the store's key and its place (docs/format.md G.1, B.2)."""
        self.slots = 0
        for path in sorted((self.desk / 'prekeys').iterdir()):
            data = path.read_bytes()
            store_key = kdf(identity.seed, 'vaultfs v1 prekey store key', data[12:28])
            self.secrets |= {store_key, kdf(identity.seed, 'vaultfs v1 desk key', data[12:28])}
            for at in range(4096, len(data), 512):
                slot = data[at:at + 512]
                box, public = slot[52:124], slot[20:52]
                for ad in (frame('vaultfs v1 prekey', slot[:4], slot[4:8], public), b''):
                    try:
                        self.secrets.add(aead_open(store_key, box[:24], ad, box[24:]))
                        self.slots += 1
                    except Bad:
                        pass

    def derived(self, grant):
        """One level of every label below the secrets."""
        for key in self.secrets:
            for label, parts in (('release secret', (bytes(32), grant.id.encode())), ('grant share', (bytes(32), grant.id.encode())),
                                 ('station key', ()), ('desk key', (bytes(16),)), ('prekey store key', (bytes(16),)), ('wrap key', (bytes(32),))):
                yield kdf(key, f'vaultfs v1 {label}', *parts)

    def opens(self, grant, bundle):
        """What he can open: envelopes, by ref and part."""
        candidates = set()
        for key in self.secrets | self.windows | set(self.derived(grant)):
            if not any(key):
                continue
            public = nb.crypto_scalarmult_base(key)
            try:
                candidates.add(nb.crypto_box_seal_open(grant.sealed_secret, public, key))
            except (nacl.exceptions.CryptoError, RuntimeError):
                pass
        share = None
        if self.device is not None:
            share = grant.share(self.device)
            grant.read_catalogue(share)  # refs and lengths stay readable: that is said
            candidates |= {share, kdf(share, 'vaultfs v1 catalogue key', grant.id.encode())}
            for ref in grant.rows:
                candidates |= {offline_share(ref, part) for part in (TEXT, IMAGE)}
        candidates |= self.secrets | set(self.derived(grant))
        found = shares_opened(grant, share, candidates)
        check(values_opened(grant, bundle, candidates) == 0, 'no candidate is itself a field key')
        return found


def released(world, grant_id):
    """{(ref, part)} by the desk's log."""
    out = set()
    for e in world.desk_entries():
        if e['event'] == 'release' and e.get('grant') == grant_id and e['result'] == 'ok':
            for ref in grant.rows if e['refs'] == 'all' else e['refs']:
                out.add((ref, TEXT if e['part'] == 'text' else IMAGE))
    return out


def memory_of(pid):
    """Every byte that the process can write to."""
    out = []
    with open(f'/proc/{pid}/maps') as maps, open(f'/proc/{pid}/mem', 'rb', 0) as mem:
        for line in maps:
            m = re.match(r'([0-9a-f]+)-([0-9a-f]+) rw', line)
            if m and '[v' not in line:
                start, end = (int(x, 16) for x in m.groups())
                try:
                    mem.seek(start)
                    out.append(mem.read(end - start))
                except OSError:
                    pass
    return b'\0'.join(out)


def take(name):
    """Copies as a thief takes them: station and desk."""
    return (d.copy_tree(station, world.dir / f'{name}-station'), d.copy_tree(world.store, world.dir / f'{name}-desk'))


def wait_for(what, condition, seconds=30):
    until = time.time() + seconds
    while not condition():
        check(time.time() < until, what)
        time.sleep(0.1)


def destroyed(number):
    return any(e.get('object', '').endswith(number) and e['event'] in ('expire', 'revoke') for e in world.desk_entries(torn=True))


def live_keys():
    return json.loads(world.keytool('desk', 'status', '--json', world.store).stdout)['prekeys']['live']


if w.os.geteuid() != 0:
    w.skip('only root may look into the memory of another process')
world = d.DeskWorld(records=24, synth=('--photos', 'mixed'), prekeys=8, last_day='+45s')
world.serve()
station, enrol = world.station()
delivered = world.grant(enrol, job='cards', release='online', until='+15s')
bundle = Bundle(world.bundle(delivered).read_bytes())
grant = Grant(delivered.read_bytes())
ends_at = datetime.datetime.strptime(grant.until, '%Y-%m-%dT%H:%M:%SZ').replace(tzinfo=datetime.timezone.utc).timestamp()
world.receive(station, delivered, world.dir / 'cards.bundle')
refs = sorted(grant.rows)

# Within the window: two photos are looked at one by one, and the text of one.
where = world.mount(station)
photos = sorted(p.name[:8] for p in (where / 'cards/photos').iterdir())
truth = {t['ref']: t for t in world.truth}
for ref in (photos[17], photos[3]):
    check(len(w.read(where / f'cards/photos/{ref}.JPG')) > 1000, 'a photo is read')
text = w.read(where / f'cards/records/{refs[2]}/rank').decode()
check(text == truth[refs[2]]['text']['rank'] + '\n', 'a text is read')
image = memory_of(world.pid_of(where))
early_station, early_desk = take('early')
log = released(world, grant.id)
check({(photos[17], IMAGE), (photos[3], IMAGE), (refs[2], TEXT)} <= log and len(log) < 2 * len(refs), 'the desk\'s log has what was read, and not all')

# What the mount's memory held: by the vault's own keys, exactly the shares of the records that the desk released.
world.keytool('vault', 'backup', world.vault, world.dir / 'vault.backup')
backup = Backup((world.dir / 'vault.backup').read_bytes())
vk = Identity(world.key('alice').read_bytes()).unseal(next(iter(backup.tables['vk'].values())))
secret = kdf(vk, 'vaultfs v1 release secret', backup.w, grant.id.encode())
for ref in refs:
    for part in (TEXT, IMAGE):
        rs = kdf(secret, 'vaultfs v1 release share', ref.encode(), bytes([part]))
        held = rs in image
        check(held == ((ref, part) in log), f'{ref} {NAMES[part]}: {"in" if held else "not in"} memory, and the desk\'s log says otherwise')
check(secret not in image, 'the release secret never leaves the desk')
check(shares_opened(grant, grant.share(Identity(slots((station / 'identity').read_bytes(), 'VFDEVID1')[0][1])), {secret}) ==
      {(r, p) for r in refs for p in (TEXT, IMAGE)}, 'control: the release secret opens all')

# A second one, revoked before its end; and one that is never mounted.
second = world.grant(enrol, job='second', release='online', until='+25s', fields='rank,photo')
second_bundle = Bundle(world.bundle(second, extra=('--all',)).read_bytes())
second_grant = Grant(second.read_bytes())
world.receive(station, second, world.dir / 'second.bundle')
wait_for('the second job appears', lambda: (where / 'second').exists(), 5)
check(w.read(where / f'second/records/{refs[0]}/rank').decode() == truth[refs[0]]['text']['rank'] + '\n', 'and is read')
middle_station, middle_desk = take('middle')
never = world.grant(enrol, job='never', release='online', until='+25s')
never_bundle = Bundle(world.bundle(never, extra=('--all',)).read_bytes())
world.keytool('grant', 'revoke', '--reason', 'a test', '--key', world.key('alice'), '-o', world.dir / 'second.revoked', second_grant.id,
              world.vault)
world.desk('receive', world.store, world.dir / 'second.revoked')
check(destroyed(second_grant.prekey), 'the revocation destroyed its one-time key at once')
check(w.errno_of(lambda: w.read(where / f'second/photos/{photos[1]}.JPG')) in (w.EKEYREVOKED, w.ENOKEY), 'what was not released does not open')

wait_for('the first grant ends', lambda: time.time() > ends_at + 1, 60)
wait_for('and its one-time key is destroyed by the server itself', lambda: destroyed(grant.prekey), 10)
check(w.errno_of(lambda: w.read(where / f'cards/photos/{photos[3]}.JPG')) == w.EKEYEXPIRED, 'ended')
after = memory_of(world.pid_of(where))
for ref in refs:
    for part in (TEXT, IMAGE):
        check(kdf(secret, 'vaultfs v1 release share', ref.encode(), bytes([part])) not in after, 'the mount forgot the share')
world.unmount(where)
wait_for('the last day of the batch comes, for grants that no desk ever saw too', lambda: not live_keys(), 60)
check(world.stop() == 0, f'the server ends: {world.said()}')
late_station, late_desk = take('late')

# Controls: within the window, with the secrets of both, everything opens; with one machine's alone, nothing.
everything = {(r, p) for r in refs for p in (TEXT, IMAGE)}
check(Thief(early_station, early_desk, world.desk_key).opens(grant, bundle) == everything, 'control: both machines in the window')
check(Thief(early_station).opens(grant, bundle) == set(), 'the station alone, in the window')
check(Thief(None, early_desk, world.desk_key).opens(grant, bundle) == set(), 'the desk\'s disk and key alone, in the window')
both = Thief(middle_station, middle_desk, world.desk_key)
check(both.opens(second_grant, second_bundle) == everything, 'control: the second')
never_grant = Grant(never.read_bytes())
check(both.slots == 8 and both.opens(never_grant, never_bundle) == everything, 'control: the one that was never mounted')

# When it is over: everything that is stored on both, and the desk's key.
thief = Thief(late_station, late_desk, world.desk_key)
check(thief.slots == 0, 'a one-time key is left')
check(thief.opens(grant, bundle) == set(), 'after the end a record opens')
check(thief.opens(second_grant, second_bundle) == set(), 'after the revocation a record opens')
check(thief.opens(never_grant, never_bundle) == set(), 'after the last day of its batch a record opens of a grant that was never mounted')
# No byte of the destroyed halves is anywhere in the desk's folder: as they lay in the early copy, wrapped.
for g in (grant, second_grant, never_grant):
    batch, number = (int(x) for x in re.findall(r'\d+', g.prekey))
    old = next((middle_desk / 'prekeys').iterdir()).read_bytes()[4096 + 512 * number:][:512]
    check(old[8] == 1 and any(old[52:124]), 'control: it was live')
    for path in sorted(p for p in late_desk.rglob('*') if p.is_file()):
        check(old[52:124] not in path.read_bytes(), f'{path.name} still has the secret half at rest')
    for copy in (early_desk, middle_desk, late_desk):
        for path in sorted(p for p in copy.rglob('*') if p.is_file()):
            check(secret not in path.read_bytes(), 'a release secret is stored')
print(f'{len(everything)} parts of {len(refs)} records: {len(log)} released in the window; none opens after the end, the revocation, the last day')
