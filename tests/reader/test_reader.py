# SPDX-License-Identifier: MIT
"""
The second reader at work: a force, a supplier, two admins of three; then, with docs/format.md's implementation in reader.py alone, everything that
the force sent is checked and every granted field decrypted and compared with what was imported. What is changed by one bit, it refuses.
"""
import os
import pathlib
import random
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / 'mounted')]

import reader  # noqa: E402
import world as w  # noqa: E402
from reader import FIELDS, IMAGE, NUMBER, TEXT, Bad, kdf, part_of  # noqa: E402

w.need_fuse = lambda: None  # nothing is mounted here
check, read = w.check, w.read
rng = random.Random(int(os.environ.get('VAULTFS_TEST_SEED', '2')))


def refused(what, action, *args):
    try:
        action(*args)
    except (Bad, ValueError, KeyError, struct.error):
        return
    check(False, f'{what} is read without complaint')


def every_bit(what, action, data, places):
    for at in places:
        changed = bytearray(data)
        changed[at] ^= 1 << rng.randrange(8)
        refused(f'{what} with byte {at} changed', action, bytes(changed))
    for cut in rng.sample(range(len(data)), min(20, len(data))):
        refused(f'{what} cut at {cut}', action, data[:cut])
    refused(f'{what} with a byte more', action, data + b'\0')


def identities(world):
    """Public and secret files, with and without passphrase, and the fingerprint that people compare."""
    passphrase = world.dir / 'passphrase'
    passphrase.write_text('four words from a generator\n')
    locked = world.dir / 'locked.key'
    world.keytool('identity', 'new', '--role', 'admin', '--name', 'dora', '--passphrase-file', passphrase, locked)
    identity = reader.Identity(read(locked), b'four words from a generator')
    check(read(f'{locked}.pub') == identity.public.line + b'\n', 'the public line of a locked identity')
    refused('a locked identity with a wrong passphrase', lambda: reader.Identity(read(locked), b'four words from a generatop'))
    refused('a locked identity without passphrase', lambda: reader.Identity(read(locked)))
    shown = world.keytool('identity', 'show', f'{locked}.pub').stdout
    check(identity.public.fingerprint() in shown, 'the fingerprint is what keytool shows')
    data = read(world.key('alice'))
    every_bit('an identity', reader.Identity, data, range(0, len(data), 3))


def fields_of(world, grant, bundle, device, truth):
    """Every granted value, by envelope and catalogue; counted."""
    share = grant.share(device)
    catalogue = grant.read_catalogue(share)
    count = 0
    for ref, row in grant.rows.items():
        for part in (TEXT, IMAGE):
            for field, key in grant.keys(share, ref, part).items():
                generation, digest = row[field]
                name = FIELDS[field][0]
                if generation == 0:
                    check(key == bytes(32) and name not in truth[ref], f'{ref} has no {name}')
                    continue
                sealed = bundle.values[ref, field, generation]
                check(reader.sha256(sealed) == digest, f'{ref} {name}: hash')
                value = reader.value_open(key, grant.vault, ref, field, generation, sealed)
                lengths = catalogue[ref][1][field]
                check(len(value) == lengths[0], f'{ref} {name}: length')
                if part == TEXT:
                    check(value.decode() == truth[ref].get(name, ''), f'{ref} {name} is what was imported')
                    check(lengths[1] == len(value) + value.count(b'"') + 2, f'{ref} {name}: length in quotes')
                else:
                    check(value[:2] == b'\xff\xd8' and value[-2:] == b'\xff\xd9' or value[:8] == b'\x89PNG\r\n\x1a\n', f'{ref} {name} is an image')
                    check(len(value) > 100, 'and not an empty one')
                count += 1
    return count


def deliveries(world, station, enrol):
    """Grants, bundles, a renewal, a change of policy, a revocation."""
    truth = {t['ref']: {k: v for k, v in t['text'].items() if v} for t in world.truth}
    for t in world.truth:
        for image in ('photo', 'signature'):
            if t.get(image):
                truth[t['ref']][image] = True
    device = reader.Identity(reader.slots(read(station / 'identity'), 'VFDEVID1')[0][1])
    enrolment = reader.Enrolment(read(enrol))
    check(enrolment.device.line == device.public.line, 'the enrolment is of this device')
    listed = world.keytool('device', 'list', '--json', world.vault, expect=None).stdout
    policy = reader.Policy(read(world.policy))
    check(policy.ruling().threshold == 2 and [a.name for a in policy.ruling().admins] == ['alice', 'bob', 'carol'], 'the policy')

    path = world.grant(enrol)
    refused('a grant with one signature', policy.check_grant, reader.Grant(read(path)))
    world.keytool('grant', 'sign', '--key', world.key('carol'), '--yes', path, world.vault)
    grant = reader.Grant(read(path))
    policy.check_grant(grant)
    check(grant.enrolment == enrolment.id and grant.recipient == 'printer' and grant.vault == enrolment.vault == policy.ruling().vault, 'for this device')
    bundle_path = world.bundle(path)
    bundle = reader.Bundle(read(bundle_path))
    check(bundle.vault == grant.vault, 'a bundle of this force')
    count = fields_of(world, grant, bundle, device, truth)
    check(count == len(bundle.values) > 60, f'{count} values, all that was sent')
    check(reader.bundle_bytes(bundle.vault, bundle.values) == read(bundle_path), 'the encoder writes the same bundle')

    # Class B, one record changed since, in the bundle of the difference.
    some = sorted(grant.rows)[0]
    world.keytool('record', 'set', '--ref', some, 'name_on_card=A. N. Other', '--key', world.key('alice'), world.vault)
    truth[some]['name_on_card'] = 'A. N. Other'
    more_path = world.grant(enrol, job='more', fields='name_on_card,surname,shoulder_no')
    world.keytool('grant', 'sign', '--key', world.key('bob'), '--yes', more_path, world.vault)
    more = reader.Grant(read(more_path))
    policy.check_grant(more)
    difference = reader.Bundle(read(world.bundle(more_path)))
    check((some, NUMBER['name_on_card'], grant.rows[some][NUMBER['name_on_card']][0] + 1) in difference.values, 'the new generation is sent')
    check(len(difference.values) == 2 * len(more.rows) + 1, 'what the device has is not sent again')
    difference.values.update(bundle.values)
    check(fields_of(world, more, difference, device, truth) == 3 * len(more.rows), 'values of both bundles')

    # A renewal: the same manifest, keys of its own.
    renewed_path = world.dir / 'renewed.grant'
    world.keytool('grant', 'renew', '--until', '+3h', '--no-handin', '--key', world.key('alice'), '-o', renewed_path, grant.id, world.vault)
    world.keytool('grant', 'sign', '--key', world.key('bob'), '--yes', renewed_path, world.vault)
    renewed = reader.Grant(read(renewed_path))
    policy.check_grant(renewed)
    check(renewed.renews == grant.id and renewed.manifest == grant.manifest and renewed.envelopes != grant.envelopes, 'a renewal')
    truth[some]['name_on_card'] = next(t['text']['name_on_card'] for t in world.truth if t['ref'] == some)
    check(fields_of(world, renewed, bundle, device, truth) == count, 'the renewal opens the old bundle, old generations included')

    revoked = world.dir / 'x.revoked'
    world.keytool('grant', 'revoke', '--reason', 'lost', '--key', world.key('carol'), '-o', revoked, more.id, world.vault)
    revocation = reader.Revocation(read(revoked), policy.ruling().keys())
    check((revocation.what, revocation.grant, revocation.reason) == ('grant', more.id, 'lost'), 'a revocation')

    world.keytool('device', 'revoke', '--reason', 'stolen', '--key', world.key('bob'), '-o', world.dir / 'device.revoked', 'printer', world.vault)
    revocation = reader.Revocation(read(world.dir / 'device.revoked'), policy.ruling().keys())
    check((revocation.what, revocation.device, revocation.keys) == ('device', enrolment.id, []), 'a revocation of a device without online grants')

    note = 12 + struct.unpack('>I', read(path)[8:12])[0]
    whole = read(path)

    def checked(data):
        policy.check_grant(reader.Grant(data))
    every_bit('a grant', checked, whole, list(range(0, note, 7)) + rng.sample(range(note, len(whole)), 100))
    text = read(revoked)
    every_bit('a revocation', lambda data: reader.Revocation(data, policy.ruling().keys()), text, range(0, len(text), 5))
    enrolled = read(enrol)
    every_bit('an enrolment', reader.Enrolment, enrolled, range(0, len(enrolled), 7))
    check(listed.count('printer') <= 1, 'devices')
    return path, bundle_path, grant, policy


def policies(world, first):
    """Two more versions; a pending one; what is refused."""
    for options, signers in ((('--remove-admin', 'carol'), ('bob',)), (('--threshold', '1'), ('bob',))):
        following = world.dir / 'next.policy'
        world.keytool('policy', 'change', *options, '--key', world.key('alice'), '--force', '-o', following, world.vault)
        pending = reader.Policy(read(following))
        check(pending.pending is not None and pending.ruling().version == pending.pending.version - 1, 'pending until the second signs')
        for name in signers:
            world.keytool('policy', 'sign', '--key', world.key(name), following)
        world.keytool('policy', 'install', '--key', world.key('alice'), following, world.vault)
    out = world.dir / 'now.policy'
    world.keytool('policy', 'export', world.vault, '-o', out)
    data = read(out)
    policy = reader.Policy(data)
    check([v.version for v in policy.in_force] == [1, 2, 3] and policy.ruling().threshold == 1, 'three versions in force')
    check(policy.in_force[0].text_hash == first.ruling().text_hash, 'the first is the first')
    whole = policy.ruling().text_hash

    def same(data):
        found = reader.Policy(data)
        if found.pending or found.ruling().text_hash != whole:
            raise Bad('another policy')
        # A name that is not an admin's, or a key id of nobody: a signature less. It must still be enough.
    survivors = 0
    for at in range(0, len(data), 11):
        changed = bytearray(data)
        changed[at] ^= 1
        try:
            same(bytes(changed))
            survivors += 1
        except (Bad, ValueError, KeyError):
            pass
    check(survivors == 0, f'{survivors} changed policies pass')
    return policy


def logs(world, station, enrol, policy):
    """The station's and the vault's log, a handed-in file, a receipt; the seal state is of the same moment."""
    log = reader.Log.folder(station / 'log')
    enrolment = reader.Enrolment(read(enrol))
    check(log.origin.id == enrolment.log_id and log.origin.note.data == enrolment.origin, 'the log that was enrolled')
    check(log.origin.note.signers([(enrolment.device.name, enrolment.device.sign)]), 'its origin is signed by the device')
    check(log.sealed == len(log.entries) > 5 and len(log.checkpoints) >= 2, f'{log.sealed} entries, {len(log.checkpoints)} checkpoints')
    check([e['event'] for e in log.entries].count('receive') == 4, 'what was received is there')
    reader.seal_state(read(station / 'seal'), log, read(station / 'log/checkpoints'))
    handin, note = world.dir / 'station.log', world.dir / 'station.receipt'
    world.keytool('station', 'handin', station, '-o', handin)
    world.keytool('device', 'handin', handin, '--key', world.key('bob'), '-o', note, world.vault)
    handed = reader.Log.handed_in(read(handin))
    check(handed.lines[:len(log.lines)] == log.lines and handed.origin.id == log.origin.id, 'the handed-in file is that log')
    seconds, size = reader.receipt(read(note), handed, policy.ruling().admins)
    check(size == len(handed.lines), 'the receipt covers it')
    data = read(handin)

    def enrolled(data):
        reader.need(reader.Log.handed_in(data).origin.id == enrolment.log_id, 'another log')
    every_bit('a handed-in log', enrolled, data, list(range(32)) + rng.sample(range(32, len(data)), 100))
    data = read(note)
    end = data.index(b'\n\n') + 1
    for at in list(range(0, end, 5)) + list(range(len(data) - 90, len(data) - 1, 9)):
        changed = bytearray(data)
        changed[at] ^= 1
        refused(f'a receipt with byte {at} changed', lambda: reader.receipt(bytes(changed), handed, policy.ruling().admins))
    vault_log = reader.Log.folder(world.vault / 'log')
    check(vault_log.origin.kind == 'vault' and vault_log.origin.note.signers(policy.in_force[0].keys()), 'the vault\'s log, begun by an admin')
    events = {e['event'] for e in vault_log.entries}
    check(events >= {'import', 'grant', 'sign', 'export', 'policy', 'change', 'revoke', 'handin', 'seal'}, f'it tells of {events}')
    reader.seal_state(read(world.vault / 'seal'), vault_log, read(world.vault / 'log/checkpoints'))
    copy = reader.Log.folder(next((world.vault / 'devices').iterdir()) / 'log')
    check(copy.lines == handed.lines, 'the vault keeps a copy of what was handed in')


def files_of_the_station(station, policy):
    """Clock and pin, MACed under a key of the device."""
    device = reader.Identity(reader.slots(read(station / 'identity'), 'VFDEVID1')[0][1])
    clock = reader.Clock(read(station / 'clock'), device)
    check(clock.policy <= 3 and clock.anchor_wall > 10**15 and clock.anchor_boot > 0 and len(set(clock.boot_id)) > 4, 'the clock')
    check(reader.pin(read(station / 'pin'), device) == policy.in_force[0].text_hash, 'the pin is the first policy')
    for name, action in (('clock', lambda data: reader.Clock(data, device)), ('pin', lambda data: reader.pin(data, device))):
        data = read(station / name)
        for at in range(22 if name == 'clock' else 0, 72 if name == 'pin' else 22 + 100, 5):
            changed = bytearray(data)
            changed[at] ^= 1
            try:
                action(bytes(changed))
            except (Bad, IndexError):
                continue
            check(False, f'{name} with byte {at} changed is believed')


def backups(world, policy):
    """With an admin's key a backup opens: every value of every field is what was imported."""
    path = world.dir / 'vault.backup'
    world.keytool('vault', 'backup', world.vault, path)
    backup = reader.Backup(read(path))
    alice = reader.Identity(read(world.key('alice')))
    vk = alice.unseal(backup.tables['vk'][reader.sha256(alice.public.line)])
    check(kdf(vk, 'vaultfs v1 vault commitment', backup.vault) == policy.ruling().commitment, 'VK is what the policy commits to')
    check(reader.Policy(backup.tables['meta'][b'policy']).ruling().text_hash == policy.ruling().text_hash, 'the policy is in it')
    wrap_key = kdf(vk, 'vaultfs v1 wrap key', backup.w)
    index_key = kdf(vk, 'vaultfs v1 index key')
    keys = {k: reader.open_wrapped(wrap_key, backup.vault, k[0], wrapped) for k, wrapped in backup.record_keys().items()}
    values, count = backup.values(), 0
    for t in world.truth:
        ref = t['ref']
        head_key = kdf(keys[ref, 1], 'vaultfs v1 head key')
        head = reader.Bytes(reader.open_head(head_key, backup.vault, ref, backup.tables['head'][ref.encode()]))
        check(head.u8() == 1, 'version of a head')
        protect, status, created = head.u8(), head.u8(), head.u64()
        check(('STANDARD', 'RESTRICTED', 'COVERT')[protect] == (t['text'].get('protect') or 'STANDARD'), 'protection')
        check(('ACTIVE', 'LEAVER')[status] == (t['text'].get('status') or 'ACTIVE') and created > 0, 'status')
        for field in range(1, 32):
            generation, epoch, length, quoted, changed = head.u32(), head.u32(), head.u32(), head.u32(), head.u64()
            if field not in FIELDS or (part_of(field) == IMAGE and length == 0):
                continue
            stored_epoch, s, sealed = values[ref, field, generation]
            check(stored_epoch == epoch, 'epoch of a value')
            key = kdf(keys[ref, epoch], 'vaultfs v1 field key', bytes([field]), reader.u32(generation), s)
            value = reader.value_open(key, backup.vault, ref, field, generation, sealed)
            check(len(value) == length, f'{ref} {FIELDS[field][0]}: length')
            name = FIELDS[field][0]
            if part_of(field) == TEXT and not (name == 'name_on_card' and generation > 1) and name != 'source_updated':
                check(value.decode() == t['text'].get(name, '') or name in ('protect', 'status'), f'{ref} {name}: {value} {t["text"].get(name)}')
            count += 1
        head.end()
        blind = kdf(index_key, 'vaultfs v1 warrant number', t['text']['warrant_no'].encode())
        check(backup.tables['index'][blind] == ref.encode(), 'the blind index')
    data = read(path)
    every_bit('a backup', reader.Backup, data, rng.sample(range(len(data)), 30))
    return count


world = w.World(records=8, admins=3, threshold=2, synth=('--signatures', '50'))
station, enrol = world.station()
identities(world)
path, bundle_path, grant, policy = deliveries(world, station, enrol)
world.receive(station, path)
world.receive(station, bundle_path)
world.receive(station, world.dir / 'renewed.grant', world.dir / 'more.grant')
policy = policies(world, policy)
logs(world, station, enrol, policy)
files_of_the_station(station, policy)
count = backups(world, policy)
print(f'policy, grants, bundles, logs, receipts and a backup with {count} values, read without our programs')
