# SPDX-License-Identifier: MIT
"""Two admins, both of whom must sign, each with a copy of the vault: issue on one, review and sign on the other, merge, receive. Then one of
them leaves: a new policy, a new vault key; what she kept - key, vault, record keys - opens nothing that is written afterwards."""
import base64
import os
import pathlib
import re
import sys

import bureau
import pictures
from world import World, check, read

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'reader'))
import reader  # noqa: E402


def copy_for(world, name, vault=None):
    """What another admin makes of a backup, on a machine of his own."""
    backup, copy = world.dir / f'{name}.backup', world.dir / f'vault-of-{name}'
    world.keytool('vault', 'backup', '--force', vault or world.vault, backup)
    if copy.exists():
        world.run('rm', '-r', copy)
    world.keytool('vault', 'restore', '--key', world.key(name), backup, copy)
    return copy


def nothing_there(world, station, grant, what):
    """Exit 4, and a mount of the station shows nothing."""
    p = world.receive(station, grant, expect=4)
    check('1 of 2' in p.stderr, f'{what}: it says what is missing: {p.stderr}')
    mnt = world.mount(station)
    check(all(name.startswith('.') for name in os.listdir(mnt)), f'{what}: nothing is mounted')
    world.unmount(mnt)


def page_of(world, grant, copy, key='bob'):
    out = world.dir / 'review.html'
    world.keytool('grant', 'review', '--force', '--key', world.key(key), '-o', out, grant, copy)
    check(out.stat().st_mode & 0o777 == 0o600, 'a page with names is its owner\'s alone')
    return out.read_text()


def page_is_good(world, page, photos):
    """Each name and photo, in one file that asks nobody for anything."""
    for t in world.truth:
        for field in ('name_on_card', 'warrant_no'):
            check(t['text'][field] in page, f'the page has the {field} of {t["ref"]}')
        check(t['text']['pay_no'] not in page and t['text']['notify_to'] not in page, 'and nothing that is not granted')
    check(not re.search(r'(?:src|href)="(?!data:|#)|url\((?!data:)|https?://|<script', page), 'the page needs nothing from outside')
    shown = {base64.b64decode(m) for m in re.findall(r'src="data:image/jpeg;base64,([A-Za-z0-9+/=]+)"', page)}
    check(shown == photos, f'{len(shown)} photos on the page, as they will be served')


def issue_review_sign(world):
    station, enrol = world.station()
    grant = world.grant(enrol)
    nothing_there(world, station, grant, 'one signature')
    copy = copy_for(world, 'bob')

    # Alice signs a second time; Bob looks, and does not sign by mistake.
    twice = world.dir / 'twice.grant'
    twice.write_bytes(grant.read_bytes())
    world.keytool('grant', 'sign', '--yes', '--key', world.key('alice'), twice, world.vault)
    nothing_there(world, station, twice, 'the same key twice')
    at_bobs = world.dir / 'at-bobs.grant'
    at_bobs.write_bytes(grant.read_bytes())
    page = page_of(world, at_bobs, copy)
    p = world.keytool('grant', 'sign', '--key', world.key('bob'), at_bobs, copy, expect=None)
    check(p.returncode != 0 and at_bobs.read_bytes() == grant.read_bytes(), 'without a terminal, signing needs --yes')
    world.keytool('grant', 'sign', '--yes', '--key', world.key('bob'), at_bobs, copy)
    merged = world.dir / 'merged.grant'
    world.keytool('grant', 'merge', grant, at_bobs, '-o', merged)
    world.receive(station, merged, world.bundle(merged))
    mnt = world.mount(station)
    top = mnt / 'cards'
    bureau.spreadsheet(top, world.truth)
    bureau.text_fields(top, world.truth)
    pictures.same_pictures(world.force, world.truth, top / 'photos')
    page_is_good(world, page, {read(p) for p in (top / 'photos').iterdir()})
    world.unmount(mnt)
    return station, enrol, copy


def changed_since(world, station, enrol, stale):
    """Alice's vault has moved on: Bob's old copy says so instead of signing; a fresh one shows what has changed."""
    t = world.truth[2]
    world.keytool('record', 'set', '--ref', t['ref'], 'name_on_card=Zacharias Newname', '--key', world.key('alice'), world.vault)
    t['text']['name_on_card'] = 'Zacharias Newname'
    grant = world.grant(enrol, job='second')
    before = grant.read_bytes()
    p = world.keytool('grant', 'sign', '--yes', '--key', world.key('bob'), grant, stale, expect=None)
    check(p.returncode in (3, 4) and t['ref'] in p.stderr, f'a copy that says otherwise is told: {p.returncode} {p.stderr}')
    check(grant.read_bytes() == before, 'and nothing is signed')
    page = page_of(world, grant, copy_for(world, 'bob'))
    check('Zacharias Newname' in page and 'changed' in page.lower(), 'the page tells what has changed')
    world.keytool('grant', 'sign', '--yes', '--key', world.key('bob'), grant, world.dir / 'vault-of-bob')
    bundle = world.bundle(grant)
    check(bundle.stat().st_size < 3000, f'of the rest the device has all values: {bundle.stat().st_size} bytes')
    world.receive(station, grant, bundle)
    mnt = world.mount(station)
    check(read(mnt / 'second/records' / t['ref'] / 'name_on_card') == b'Zacharias Newname\n', 'the new value in the new job')
    world.unmount(mnt)


# ------------------------------------------------------------------------------------------------------------ an admin has left

class Backup:
    """A backup, read as docs/format.md describes it."""

    def __init__(self, path):
        r = reader.Bytes(read(path))
        r.magic('VFBACKU1')
        self.vault = r.take(16)
        r.u64()
        self.w = r.take(32)
        self.rows = {n: {} for n in range(10)}
        while (kind := r.take(1)) != b'E':
            if kind == b'R':
                table, key_size, size = r.u8(), r.u16(), r.u32()
                key = r.take(key_size)
                self.rows[table][key] = r.take(size)
            else:
                r.take(r.u16())
                r.take(r.u64())

    def vault_keys(self, identity):
        """VK, for whom it is sealed to."""
        return {key for key in (self.opens(identity.unseal, box) for box in self.rows[1].values()) if key}

    @staticmethod
    def opens(action, *args):
        try:
            return action(*args)
        except reader.Bad:
            return None

    def record_keys(self, vault_keys, ws):
        """Every record key that opens with any of these."""
        found = set()
        for vk in vault_keys:
            for w in ws:
                wrap = reader.kdf(vk, 'vaultfs v1 wrap key', w)
                for ref, row in self.rows[2].items():
                    r = reader.Bytes(row)
                    for _ in range(r.u8()):
                        r.u32()
                        box = r.take(72)
                        ad = reader.frame('vaultfs v1 wrapped record key', self.vault, ref)
                        key = self.opens(reader.aead_open, wrap, box[:24], ad, box[24:])
                        if key:
                            found.add((ref, key))
        return found

    def heads(self, record_keys):
        """Refs of the heads that open."""
        return {ref for ref, key in record_keys if ref in self.rows[4] and self.opens(
            reader.aead_open, reader.kdf(key, 'vaultfs v1 head key'), self.rows[4][ref][:24],
            reader.frame('vaultfs v1 record head', self.vault, ref), self.rows[4][ref][24:])}

    def values(self, record_keys):
        """(ref, field, generation): value, of all that open."""
        found = {}
        for key, row in self.rows[5].items():
            ref, field, generation = key[:8], key[8], int.from_bytes(key[9:], 'big')
            s, sealed = row[4:36], row[68:]
            for owner, record_key in record_keys:
                if owner == ref:
                    fk = reader.kdf(record_key, 'vaultfs v1 field key', bytes([field]), reader.u32(generation), s)
                    value = self.opens(reader.value_open, fk, self.vault, ref.decode(), field, generation, sealed)
                    if value is not None:
                        found[ref, field, generation] = value
        return found

    def blind(self, vault_keys, number):
        return any(reader.kdf(reader.kdf(vk, 'vaultfs v1 index key'), 'vaultfs v1 warrant number', number.encode()) in self.rows[3]
                   for vk in vault_keys)


def next_policy(world, signers, *change):
    """A version that `signers` sign, installed by the first of them."""
    path = world.dir / 'next.policy'
    world.keytool(*change, '--force', '--key', world.key(signers[0]), '-o', path, world.vault)
    for name in signers[1:]:
        world.keytool('policy', 'sign', '--key', world.key(name), path)
    world.keytool('policy', 'install', '--key', world.key(signers[0]), path, world.vault)
    return path


def one_leaves(world, station):
    """Carol goes, Dave comes; the vault gets a new key."""
    world.keytool('identity', 'new', '--role', 'admin', '--name', 'dave', '--no-passphrase', world.key('dave'))
    world.keytool('vault', 'backup', world.vault, world.dir / 'carols.backup')
    kept = Backup(world.dir / 'carols.backup')
    carol, alice, dave = (reader.Identity(read(world.key(n))) for n in ('carol', 'alice', 'dave'))

    # A version that only Alice has signed changes nothing.
    path = world.dir / 'next.policy'
    world.keytool('policy', 'change', '--remove-admin', 'carol', '--add-admin', f'{world.key("dave")}.pub', '--key', world.key('alice'), '-o',
                  path, world.vault)
    world.keytool('policy', 'install', '--key', world.key('alice'), path, world.vault)
    check(len(world.keytool('record', 'list', '--key', world.key('carol'), world.vault).stdout.splitlines()) == len(world.truth),
          'while it is pending the old policy rules')
    check(world.keytool('record', 'list', '--key', world.key('dave'), world.vault, expect=None).returncode != 0, 'Dave is nobody yet')
    next_policy(world, ('alice', 'bob'), 'policy', 'change', '--remove-admin', 'carol', '--add-admin', f'{world.key("dave")}.pub')
    p = world.keytool('record', 'list', '--key', world.key('carol'), world.vault, expect=None)
    check(p.returncode != 0 and not p.stdout and 'carol' in p.stderr, f'Carol is no admin any more: {p.returncode} {p.stderr}')
    check(world.keytool('record', 'list', '--key', world.key('dave'), world.vault).stdout, 'Dave is one')

    next_policy(world, ('alice', 'dave'), 'vault', 'rekey')
    t, marker = world.truth[3], 'Written After Carol Left'
    world.keytool('record', 'set', '--ref', t['ref'], f'name_on_card={marker}', '--key', world.key('dave'), world.vault)
    more = world.dir / 'more'
    world.run(os.environ['SYNTH'], '--out', more, '--records', 3, '--seed', 77)
    world.keytool('record', 'import', '--csv', more / 'force.csv', '--map', more / 'force.map', '--photos', more / 'photos', '--key',
                  world.key('alice'), world.vault)
    world.keytool('vault', 'check', '--key', world.key('bob'), world.vault)
    check(world.keytool('record', 'list', '--key', world.key('carol'), world.vault, expect=None).returncode != 0, 'Carol is out')

    # With what she kept she opens what she could always open, and nothing that came later.
    world.keytool('vault', 'backup', world.vault, world.dir / 'now.backup')
    now = Backup(world.dir / 'now.backup')
    old_keys = kept.vault_keys(carol)
    old_records = kept.record_keys(old_keys, [kept.w])
    check(len(old_keys) == 1 and len(old_records) == len(world.truth) == len(kept.heads(old_records)), 'the attack is a good one: she had it all')
    check(world.truth[0]['text']['surname'].encode() in kept.values(old_records).values(), 'surnames too')
    check(not now.vault_keys(carol) and now.vault != bytes(16), 'the new vault key is not sealed to her')
    check(not now.record_keys(old_keys, [kept.w, now.w]), 'her vault key unwraps no record key')
    check(not now.heads(old_records), 'no record\'s head opens')
    opened = now.values(old_records)
    unchanged = kept.values(old_records)
    check(opened and all(unchanged.get(key) == value for key, value in opened.items()), 'her record keys open what she had already')
    check(not any(now.blind(old_keys, t['text']['warrant_no']) for t in world.truth), 'nor can she look a number up')
    # What Alice and Dave can, shows that there was something to be found.
    for who in (alice, dave):
        keys = now.vault_keys(who)
        records = now.record_keys(keys, [now.w])
        values = now.values(records)
        check(marker.encode() in values.values() and len(now.heads(records)) == len(world.truth) + 3, 'an admin opens everything')
        check(len(values) == len(now.rows[5]) > len(opened), 'every value')
        check(now.blind(keys, world.truth[0]['text']['warrant_no']), 'and finds a number')

    # The station goes on under the new policy: what Alice and Bob signed still counts.
    sent = world.dir / 'sent.policy'
    world.keytool('policy', 'export', world.vault, '-o', sent)
    world.receive(station, sent)
    mnt = world.mount(station)
    check({'cards', 'second'} <= set(os.listdir(mnt)), 'grants of before go on')
    check(len(os.listdir(mnt / 'cards/photos')) == len(world.truth), 'with all their photos')
    world.unmount(mnt)


pictures.need_judges()
world = World(records=8, admins=3, threshold=2, synth=('--photos', 'mixed'))
station, enrol, copy = issue_review_sign(world)
changed_since(world, station, enrol, copy)
one_leaves(world, station)
world.keytool('audit', 'verify', '--enrol', enrol, station / 'log')
world.keytool('audit', 'verify', '--vault', world.vault, world.vault / 'log')
print('two admins, two copies, one who left')
