# SPDX-License-Identifier: MIT
"""
P2: what no grant to a supplier names is out of his reach. The attacker holds the station's identity (unlocked), every grant and bundle that was ever
sent to it, another device's grant and bundle, and - more than he would have - a backup of the whole vault with W, its rows, its log, without any
admin's key. He walks every key that he can derive: grant shares, envelope keys of both parts, catalogue keys, field keys, release shares, his
own; with every label of the key derivation over every one of them, two levels deep, with the parts that would belong to the ciphertext at hand;
and tries each on each ciphertext that was not granted, with its own associated data and with its neighbours'.

Controls: the same walk opens every granted value; and with one record key more it opens that record's ungranted ones, so it would see a way.
"""
import hashlib
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / 'reader'), str(HERE.parent / 'mounted')]

import nacl.bindings as nb  # noqa: E402
import nacl.exceptions  # noqa: E402
from nacl._sodium import ffi, lib  # noqa: E402

import world as w  # noqa: E402
from reader import (FIELDS, IMAGE, NUMBER, TEXT, Backup, Bundle, Enrolment, Grant, Identity, envelope_key, frame, kdf,  # noqa: E402
                    offline_share, open_head, open_wrapped, slots, u32, value_ad)

w.need_fuse = lambda: None  # nothing is mounted here
check = w.check


# Called four million times: libsodium itself, and a key derivation whose message is put together once a target.
def opens(key, t, ads):
    for ad in ads:
        if lib.crypto_aead_xchacha20poly1305_ietf_decrypt(t.plain, ffi.NULL, ffi.NULL, t.sealed, t.size, ad, len(ad), t.nonce, key) == 0:
            return True
    return False


def derived(key, message):
    return hashlib.blake2b(message, digest_size=32, key=key).digest()


class Target:
    """A ciphertext: its bytes, associated data to try, and the parts that a key for it could be derived with."""

    def __init__(self, name, ciphertext, ads, ref, field=0, generation=0, s=b''):
        check(len(ciphertext) >= 40, f'{name}: nonce and tag')
        self.name, self.ciphertext, self.ads = name, ciphertext, ads
        self.nonce, self.sealed, self.size, self.plain = ciphertext[:24], ciphertext[24:], len(ciphertext) - 24, ffi.new('unsigned char[]', len(ciphertext))
        self.ref, self.field, self.generation, self.s = ref, field, generation, s


class Attacker:
    def __init__(self, vault, w_secret):
        self.vault, self.w, self.keys, self.grants = vault, w_secret, {}, []

    def add(self, name, key):
        self.keys.setdefault(key, name)

    def take_identity(self, identity):
        self.identity = identity
        self.add('seed', identity.seed)
        self.add('box', identity.box)
        self.add('station key', kdf(identity.seed, 'vaultfs v1 station key'))
        self.add('box as scalar product', nb.crypto_scalarmult_base(identity.box))

    def take_grant(self, grant):
        """Everything that follows from a grant to this device."""
        self.grants.append(grant)
        share = grant.share(self.identity)
        self.add('grant share', share)
        self.add('catalogue key', kdf(share, 'vaultfs v1 catalogue key', grant.id.encode()))
        grant.read_catalogue(share)
        for ref in grant.rows:
            for part in (TEXT, IMAGE):
                release = offline_share(ref, part)
                self.add('release share', release)
                self.add('envelope key', envelope_key(share, release, grant.id, ref, part))
                for field, key in grant.keys(share, ref, part).items():
                    self.add(f'field key {ref} {FIELDS[field][0]}', key)

    def messages(self, t):
        """Every label, with the parts that fit this target: what is hashed under a key."""
        ref, field, generation = t.ref.encode(), bytes([t.field]), u32(t.generation)
        yield frame('vaultfs v1 index key')
        yield frame('vaultfs v1 wrap key', self.w)
        yield frame('vaultfs v1 head key')
        yield frame('vaultfs v1 field key', field, generation, t.s)
        yield frame('vaultfs v1 field key', field, generation, bytes(32))
        yield frame('vaultfs v1 vault commitment', self.vault)
        yield frame('vaultfs v1 station key')
        yield frame('vaultfs v1 warrant number', ref)
        yield frame('vaultfs v1 station mac', ref)
        for part in (b'\0', b'\1'):
            yield frame('vaultfs v1 release share', ref, part)
        for grant in self.grants[:1]:
            for label in ('grant share', 'release secret'):
                yield frame(f'vaultfs v1 {label}', self.w, grant.id.encode())
            yield frame('vaultfs v1 catalogue key', grant.id.encode())
            for part in (TEXT, IMAGE):
                yield frame('vaultfs v1 envelope key', offline_share(t.ref, part), grant.id.encode(), ref, bytes([part]))

    def walk(self, t):
        """The name of a key that opens it, or None. Two levels below every key."""
        messages = list(self.messages(t))
        for key, name in self.keys.items():
            if opens(key, t, t.ads):
                return name
            for first in messages:
                one = derived(key, first)
                if opens(one, t, t.ads):
                    return name + ', one level below'
                for second in messages:
                    if opens(derived(one, second), t, t.ads[:1]):
                        return name + ', two levels below'
        return None


def value_target(vault, ref, field, generation, s, sealed, refs):
    """With its own associated data, another record's, another field's, another generation's."""
    other = refs[(refs.index(ref) + 1) % len(refs)]
    ads = [value_ad(vault, ref, field, generation), value_ad(vault, other, field, generation),
           value_ad(vault, ref, field % 29 + 1, generation), value_ad(vault, ref, field, generation + 1)]
    return Target(f'{ref} {FIELDS[field][0]} generation {generation}', sealed, ads, ref, field, generation, s)


def stays_shut(attacker, what, box, public):
    """A box sealed to somebody else: none of his keys is the secret to it."""
    for key in attacker.keys:
        for pk in (public, nb.crypto_scalarmult_base(key)):
            try:
                nb.crypto_box_seal_open(box, pk, key)
                check(False, f'{what} opens')
            except nacl.exceptions.CryptoError:
                pass


world = w.World(records=5, synth=('--photos', 'mixed'))
key = world.key('alice')
station, enrol = world.station()
bystander, bystander_enrol = world.station('bystander')
refs = sorted(t['ref'] for t in world.truth)
listed = world.dir / 'list'
listed.write_text('\n'.join(refs[:4]) + '\n')

# Two grants of different fields for the same records, a renewal, an old generation and a new one; somebody else's delivery.
sent = []
for job, fields in (('first', 'name_on_card,photo'), ('second', 'rank,warrant_no,valid_to')):
    sent.append(world.grant(enrol, job=job, fields=fields, records=('--list', listed)))
    world.bundle(sent[-1])
first = Grant(sent[0].read_bytes())
world.keytool('grant', 'renew', '--until', '+2h', '--no-handin', '--key', key, '-o', world.dir / 'renewed.grant', first.id, world.vault)
sent.append(world.dir / 'renewed.grant')
world.keytool('record', 'set', '--ref', refs[0], 'name_on_card=New Name', 'surname=Newname', '--key', key, world.vault)
sent.append(world.grant(enrol, job='third', fields='name_on_card', records=('--list', listed)))
world.bundle(sent[-1])
theirs = world.grant(bystander_enrol, job='theirs', fields='surname,shoulder_no,photo', records=('--records', 'all'))
their_bundle = Bundle(world.bundle(theirs).read_bytes())
world.keytool('vault', 'backup', world.vault, world.dir / 'vault.backup')

backup = Backup((world.dir / 'vault.backup').read_bytes())
attacker = Attacker(backup.vault, backup.w)
attacker.take_identity(Identity(slots((station / 'identity').read_bytes(), 'VFDEVID1')[0][1]))
for path in sent:
    attacker.take_grant(Grant(path.read_bytes()))
stranger = Grant(theirs.read_bytes())
print(f'{len(attacker.keys)} keys to begin with')

granted, ungranted = [], []
named = {(ref, f, row[f][0]) for g in attacker.grants for ref, row in g.rows.items() for f in row}
values = backup.values()
for (ref, field, generation), (epoch, s, sealed) in sorted(values.items()):
    t = value_target(backup.vault, ref, field, generation, s, sealed, refs)
    (granted if (ref, field, generation) in named else ungranted).append(t)
check(len(granted) == len([n for n in named if n[2] > 0]), 'every granted value is in the backup')
check({(t.ref, t.field) for t in ungranted} >= {(r, NUMBER[f]) for r in refs for f in ('vetting', 'pay_no', 'protect', 'surname')}, 'class C too')
check(any(t.field == NUMBER['photo'] for t in ungranted), 'a photo of the record that was not granted')
check(all(their_bundle.values[t.ref, t.field, t.generation] == t.ciphertext for t in ungranted
          if (t.ref, t.field, t.generation) in their_bundle.values), 'the other device holds the same ciphertexts')
for (ref, epoch), wrapped in backup.record_keys().items():
    ads = [frame('vaultfs v1 wrapped record key', backup.vault, r.encode()) for r in (ref, refs[0], refs[1])]
    ungranted.append(Target(f'{ref} record key', wrapped, ads, ref))
for ref, head in backup.tables['head'].items():
    ads = [frame('vaultfs v1 record head', backup.vault, r) for r in (ref, refs[0].encode(), refs[1].encode())]
    ungranted.append(Target(f'{ref.decode()} head', head, ads, ref.decode()))
for ref in stranger.rows:
    for part in (TEXT, IMAGE):
        n = len(stranger.of_part[part])
        ads = [frame('vaultfs v1 envelope', stranger.vault, stranger.id.encode(), ref.encode(), bytes([part]), u32(n))]
        ungranted.append(Target(f'{ref} envelope of the other device', bytes(24) + stranger.boxes[ref, part], ads, ref))
ads = [frame('vaultfs v1 catalogue', stranger.vault, stranger.id.encode())]
ungranted.append(Target('catalogue of the other device', bytes(24) + stranger.catalogue[24:], ads, refs[0]))

for t in granted:
    check(attacker.walk(t) is not None, f'control: {t.name} was granted and opens')
for t in ungranted:
    found = attacker.walk(t)
    check(found is None, f'{t.name} was not granted and opens with {found}')
admin = Identity(key.read_bytes())
for box in backup.tables['vk'].values():
    stays_shut(attacker, 'VK', box, admin.public.box)
stays_shut(attacker, 'the other device\'s share', stranger.sealed_share, Enrolment(bystander_enrol.read_bytes()).device.box)

# The walk would see a way: one record key more, as an admin could give it, and all of that record opens.
vk = admin.unseal(next(iter(backup.tables['vk'].values())))
check(kdf(vk, 'vaultfs v1 vault commitment', backup.vault).hex() in world.policy.read_text(), 'the commitment is to this VK')
wrap_key = kdf(vk, 'vaultfs v1 wrap key', backup.w)
leaked = refs[1]
record_key = open_wrapped(wrap_key, backup.vault, leaked, backup.record_keys()[leaked, 1])
check(len(open_head(kdf(record_key, 'vaultfs v1 head key'), backup.vault, leaked, backup.tables['head'][leaked.encode()])) == 755, 'its head')
attacker.add('record key', record_key)
for t in ungranted:
    if t.ref == leaked and (t.field or 'head' in t.name):
        check((attacker.walk(t) or '').startswith('record key'), f'control: {t.name} opens with the record\'s key')
    elif t.field and t.ref == refs[2]:
        check(attacker.walk(t) is None, 'of that record only')
attacker.keys = {vk: 'VK'}
for t in ungranted:
    if t.name.endswith('record key'):
        check(attacker.walk(t) == 'VK, one level below', 'control: VK opens record keys')
print(f'{len(granted)} granted values open, {len(ungranted)} other ciphertexts do not')
