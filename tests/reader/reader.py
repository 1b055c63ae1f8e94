# SPDX-License-Identifier: MIT
"""
A second implementation of the formats, from docs/format.md and its pages alone: it shares no code with the programs. Reading is strict: whatever
is not exactly as the pages say raises Bad. Needs hashlib, and Debian's python3-nacl for XChaCha20-Poly1305, Argon2id, Ed25519, X25519.
"""
import base64
import binascii
import calendar
import hashlib
import json
import re
import struct
import time as time_module

import nacl.bindings as nb
import nacl.exceptions
import nacl.pwhash

TEXT, IMAGE = 0, 1


class Bad(Exception):
    """Not as the format says, or not what was signed."""


def need(condition, what):
    if not condition:
        raise Bad(what)


# ---------------------------------------------------------------------------------------------------------------- conventions

def u16(n):
    return struct.pack('>H', n)


def u32(n):
    return struct.pack('>I', n)


def u64(n):
    return struct.pack('>Q', n)


def sha256(data):
    return hashlib.sha256(data).digest()


def frame(label, *parts):
    return b''.join(u32(len(p)) + p for p in (label.encode(), *parts))


def kdf(key, label, *parts):
    return hashlib.blake2b(frame(label, *parts), digest_size=32, key=key).digest()


def unbase64(text):
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Bad('base64') from None
    need(base64.b64encode(data) == (text if isinstance(text, bytes) else text.encode()), 'base64 is not canonical')
    return data


class Bytes:
    """Takes bytes off the front of what is there; the end must be reached exactly."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        need(0 <= n <= len(self.data) - self.at, 'cut short')
        self.at += n
        return self.data[self.at - n:self.at]

    def u8(self):
        return self.take(1)[0]

    def u16(self):
        return struct.unpack('>H', self.take(2))[0]

    def u32(self):
        return struct.unpack('>I', self.take(4))[0]

    def u64(self):
        return struct.unpack('>Q', self.take(8))[0]

    def magic(self, text):
        need(self.take(len(text)) == text.encode(), f'not {text}')

    def end(self):
        need(self.at == len(self.data), 'something follows')


# --------------------------------------------------------------------------------------------------------------------- fields

# number: name, class, part, padded size of a text
FIELDS = {
    1: ('name_on_card', 'A', TEXT, 160), 2: ('rank', 'A', TEXT, 64), 3: ('warrant_no', 'A', TEXT, 12), 4: ('photo', 'A', IMAGE, 0),
    5: ('signature', 'A', IMAGE, 0), 6: ('card_type', 'A', TEXT, 16), 7: ('card_serial', 'A', TEXT, 32),
    8: ('issue_no', 'A', TEXT, 8), 9: ('valid_from', 'A', TEXT, 10), 10: ('valid_to', 'A', TEXT, 10),
    11: ('endorsement', 'A', TEXT, 480), 12: ('chip_type', 'B', TEXT, 32), 13: ('chip_uid', 'B', TEXT, 20),
    14: ('person_type', 'B', TEXT, 16), 15: ('surname', 'B', TEXT, 320), 16: ('forenames', 'B', TEXT, 320),
    17: ('title', 'B', TEXT, 64), 18: ('shoulder_no', 'B', TEXT, 32), 19: ('unit_code', 'B', TEXT, 32),
    20: ('station', 'B', TEXT, 256), 21: ('grade', 'B', TEXT, 64), 22: ('pay_no', 'C', TEXT, 32), 23: ('vetting', 'C', TEXT, 16),
    24: ('vetting_expiry', 'C', TEXT, 10), 25: ('protect', 'C', TEXT, 16), 26: ('notify_to', 'C', TEXT, 254),
    27: ('status', 'C', TEXT, 16), 28: ('source_system', 'C', TEXT, 64), 29: ('source_updated', 'C', TEXT, 40),
}
NUMBER = {info[0]: number for number, info in FIELDS.items()}


def part_of(field):
    return FIELDS[field][2]


def padded(field, length):
    if part_of(field) == TEXT:
        return FIELDS[field][3]
    return max(1, -(-length // 8192)) * 8192


# ----------------------------------------------------------------------------------------------------------------- encryption

def aead_open(key, nonce, ad, box):
    try:
        return nb.crypto_aead_xchacha20poly1305_ietf_decrypt(box, ad, nonce, key)
    except nacl.exceptions.CryptoError:
        raise Bad('does not decrypt') from None


def aead_seal(key, nonce, ad, plain):
    return nb.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, ad, nonce, key)


def value_ad(vault, ref, field, generation):
    return frame('vaultfs v1 value', vault, ref.encode(), bytes([field]), u32(generation))


def value_open(key, vault, ref, field, generation, sealed):
    need(len(sealed) > 44, 'a value is too short')
    plain = aead_open(key, sealed[:24], value_ad(vault, ref, field, generation), sealed[24:])
    length, body = struct.unpack('>I', plain[:4])[0], plain[4:]
    need(length <= len(body) and length <= 1048576, 'true length')
    need(not any(body[length:]), 'padding')
    need(len(body) == padded(field, length), 'padded size')
    return body[:length]


def value_seal(key, vault, ref, field, generation, nonce, value):
    """What a holder of the field key can make."""
    body = value + bytes(padded(field, len(value)) - len(value))
    return nonce + aead_seal(key, nonce, value_ad(vault, ref, field, generation), u32(len(value)) + body)


def offline_share(ref, part):
    return hashlib.blake2b(frame('vaultfs v1 offline release share, public', ref.encode(), bytes([part])), digest_size=32).digest()


def envelope_key(share, release, grant, ref, part):
    return kdf(share, 'vaultfs v1 envelope key', release, grant.encode(), ref.encode(), bytes([part]))


# ------------------------------------------------------------------------------------------------------------------ identities

class Public:
    """One public line."""

    def __init__(self, line):
        words = line.split(b' ')
        need(len(words) == 4 and words[0] == b'vaultfs-identity-v1', 'not a public line')
        self.line, self.role, self.name = line, words[1].decode(), words[2].decode()
        need(self.role in ('admin', 'desk', 'device'), 'role')
        need(re.fullmatch('[a-z0-9][a-z0-9.-]{0,62}', self.name), 'name')
        need(len(words[3]) == 128, 'length of a public line')
        keys = unbase64(words[3])
        self.sign, self.box, self.cosign = keys[:32], keys[32:64], keys[64:]
        need((self.cosign != bytes(32)) == (self.role == 'desk') and self.cosign != self.sign, 'cosigning key')

    def fingerprint(self):
        text = base64.b32encode(sha256(self.line)[:20]).decode()
        return '-'.join(text[i:i + 4] for i in range(0, 32, 4))


class Identity:
    """A secret file."""

    def __init__(self, data, passphrase=None):
        r = Bytes(data)
        need(sha256(data[:-32]) == data[-32:], 'checksum of an identity')
        r.magic('VFIDENT\0')
        need(r.u32() == 1, 'version of an identity')
        self.public = Public(r.take(r.u16()))
        memory, passes, salt, nonce = r.u32(), r.u32(), r.take(16), r.take(24)
        size = r.u16()
        head, secrets = data[:r.at], r.take(size)
        r.take(32)
        r.end()
        if memory or passes:
            need(65536 <= memory <= 1048576 and 2 <= passes <= 10 and size == 112 and passphrase, 'passphrase')
            key = nacl.pwhash.argon2id.kdf(32, passphrase, salt, opslimit=passes, memlimit=memory * 1024)
            secrets = aead_open(key, nonce, head, secrets)
        else:
            need(size == 96 and not any(salt) and not any(nonce), 'an identity without passphrase')
        self.seed, self.box, self.cosign_seed = secrets[:32], secrets[32:64], secrets[64:]
        sign_public, self.sign_secret = nb.crypto_sign_seed_keypair(self.seed)
        need(sign_public == self.public.sign and nb.crypto_scalarmult_base(self.box) == self.public.box, 'keys of an identity')

    def unseal(self, box):
        try:
            return nb.crypto_box_seal_open(box, self.public.box, self.box)
        except nacl.exceptions.CryptoError:
            raise Bad('a sealed box does not open') from None


def slots(data, kind):
    """The slots of a slot file that are there: (sequence, payload), newest first."""
    need(len(data) == 8192, 'size of a slot file')
    found = []
    for raw in (data[:4096], data[4096:]):
        r = Bytes(raw)
        if raw == bytes(4096):
            continue
        magic, version, sequence = r.take(8), r.u32(), r.u64()
        payload = r.take(min(r.u16(), 3072))
        end = r.at
        if sha256(raw[:end]) != r.take(32) or any(raw[r.at:]):
            continue
        need(magic == kind.encode() and version == 1, 'type of a slot')
        found.append((sequence, payload))
    return sorted(found, reverse=True)


# ----------------------------------------------------------------------------------------------------------------------- notes

def key_id(name, kind, key):
    return sha256(name.encode() + b'\n' + bytes([kind]) + key)[:4]


def signature_good(key, message, signature):
    try:
        nb.crypto_sign_open(signature + message, key)
        return True
    except nacl.exceptions.BadSignatureError:
        return False


class Note:
    def __init__(self, data):
        need(0 < len(data) <= 1048576, 'size of a note')
        at = data.rfind(b'\n\n')
        need(at >= 0, 'a note without signatures')
        self.data, self.text = data, data[:at + 1]
        block = data[at + 2:]
        need(block.endswith(b'\n'), 'end of a note')
        self.lines = []
        for line in block[:-1].split(b'\n'):
            need(line.startswith('— '.encode()), 'a signature line')
            name, _, box = line[len('— '.encode()):].partition(b' ')
            raw = unbase64(box)
            need(name and 5 <= len(raw) <= 8192, 'a signature line')
            self.lines.append((name.decode(), raw))
        need(1 <= len(self.lines) <= 64, 'number of signatures')

    def signers(self, keys):
        """Distinct public keys, of {(name, key)}, that signed. One false signature of a known key refuses the note."""
        good = set()
        for name, key in keys:
            for line_name, raw in self.lines:
                if line_name == name and raw[:4] == key_id(name, 1, key):
                    need(len(raw) == 68 and signature_good(key, self.text, raw[4:]), f'a false signature of {name}')
                    good.add(key)
        return good

    def cosigned(self, name, key):
        """Time of the latest cosignature of this key, or None."""
        times = []
        for line_name, raw in self.lines:
            if line_name == name and raw[:4] == key_id(name, 4, key):
                need(len(raw) == 76, 'a cosignature')
                seconds = struct.unpack('>Q', raw[4:12])[0]
                message = b'cosignature/v1\ntime %d\n' % seconds + self.text
                need(signature_good(key, message, raw[12:]), f'a false cosignature of {name}')
                times.append(seconds)
        return max(times, default=None)


class Lines:
    """The text of our notes: `key: value` lines in order."""

    def __init__(self, text, title):
        self.lines = text.decode().split('\n')
        need(self.lines.pop() == '' and self.lines.pop(0) == title, f'not {title}')

    def next(self):
        return self.lines[0].partition(': ')[0] if self.lines else None

    def take(self, key):
        need(self.next() == key, f'no line {key}')
        return self.lines.pop(0)[len(key) + 2:]

    def number(self, key):
        value = self.take(key)
        need(re.fullmatch('0|[1-9][0-9]*', value), key)
        return int(value)

    def hex(self, key, size):
        value = self.take(key)
        need(re.fullmatch(f'[0-9a-f]{{{2 * size}}}', value), key)
        return bytes.fromhex(value)

    def time(self, key):
        value = self.take(key)
        need(re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ', value), key)
        return value

    def end(self):
        need(not self.lines, f'a line too many: {self.next()}')


# ----------------------------------------------------------------------------------------------------------------------- trees

def leaf(data):
    return sha256(b'\0' + data)


def node(left, right):
    return sha256(b'\1' + left + right)


class Tree:
    """RFC 6962, leaf by leaf."""

    def __init__(self):
        self.size, self.edge = 0, []

    def add(self, data):
        self.edge.append(leaf(data))
        self.size += 1
        n = self.size
        while n % 2 == 0:
            right = self.edge.pop()
            self.edge.append(node(self.edge.pop(), right))
            n //= 2

    def root(self):
        if not self.edge:
            return sha256(b'')
        h = self.edge[-1]
        for left in reversed(self.edge[:-1]):
            h = node(left, h)
        return h


# ---------------------------------------------------------------------------------------------------------- enrolment and grant

def signed_by(note, public, what):
    need(note.signers([(public.name, public.sign)]), f'{what} is not signed')


class Enrolment:
    def __init__(self, data):
        need(len(data) <= 8192, 'size of an enrolment')
        note = Note(data)
        lines = Lines(note.text, 'vaultfs enrolment v1')
        name = lines.take('station')
        self.device = Public(lines.take('device').encode())
        self.vault = lines.hex('vault', 16)
        self.log_id = lines.hex('log', 32)
        self.origin = unbase64(lines.take('log-origin'))
        self.created = lines.time('created')
        lines.end()
        need(self.device.role == 'device' and self.device.name == name, 'name of the station')
        need(len(self.origin) <= 2048 and sha256(self.origin) == self.log_id, 'log id')
        signed_by(note, self.device, 'the enrolment')
        self.id = sha256(note.text)


ENDS = {
    'offline': 'expiry enforced by software, not by cryptography',
    'online': "the force's key desk destroys this grant's one-time key at the end, and what was not released by then stays closed",
}


class Grant:
    """A grant file, checked as far as it goes without a policy."""

    def __init__(self, data):
        r = Bytes(data)
        r.magic('VFGRANT1')
        self.note = Note(r.take(r.u32()))
        self.manifest, self.envelopes, self.catalogue = r.take(r.u64()), r.take(r.u64()), r.take(r.u64())
        r.end()
        self.read_text()
        self.read_manifest()
        self.read_envelopes()

    def read_text(self):
        t = Lines(self.note.text, 'vaultfs grant v1')
        self.force = t.take('force')
        self.vault = t.hex('vault', 16)
        self.id = t.take('grant')
        need(re.fullmatch('[A-Z2-7]{16}', self.id), 'grant id')
        self.policy = t.number('policy')
        self.policy_hash = t.hex('policy-sha256', 32)
        self.renews = t.take('renews')
        self.job = t.take('job')
        self.recipient = t.take('recipient')
        self.enrolment = t.hex('enrolment-sha256', 32)
        self.purpose = t.take('purpose')
        self.issued_by = t.take('issued-by')
        self.records = t.number('records')
        self.fields = [NUMBER[name] for name in t.take('fields').split(', ')]
        need(self.fields == sorted(set(self.fields)), 'order of the fields')
        need(all(FIELDS[f][1] != 'C' for f in self.fields), 'a field of class C')
        self.issued, self.start, self.until = t.time('issued'), t.time('from'), t.time('until')
        need(self.start < self.until and self.issued < self.until, 'window')
        self.release = t.take('release')
        need(t.take('ends') == ENDS[self.release], 'the sentence on the end')
        self.budget = t.take('budget')
        need(t.take('clock-reset') in ('no', 'yes'), 'clock-reset')
        self.sealed_share = unbase64(t.take('share'))
        need(len(self.sealed_share) == 80, 'sealed share')
        if self.release == 'online':
            self.sealed_secret = unbase64(t.take('release-secret'))
            self.prekey, self.desk_url = t.take('prekey'), t.take('desk-url')
        need(t.hex('manifest-sha256', 32) == sha256(self.manifest), 'hash of the manifest')
        need(t.hex('envelopes-sha256', 32) == sha256(self.envelopes), 'hash of the envelopes')
        need(t.hex('catalogue-sha256', 32) == sha256(self.catalogue), 'hash of the catalogue')
        t.end()

    def read_manifest(self):
        r = Bytes(self.manifest)
        r.magic('VFMANIF1')
        need(r.take(16) == self.vault and r.u32() == self.records, 'head of the manifest')
        need(list(r.take(r.u8())) == self.fields, 'fields of the manifest')
        self.rows = {}
        last = ''
        for _ in range(self.records):
            ref = r.take(8).decode()
            need(re.fullmatch('[A-Z2-7]{8}', ref) and ref > last, 'order of the refs')
            last = ref
            row = {f: (r.u32(), r.take(32)) for f in self.fields}
            for f, (generation, digest) in row.items():
                need((generation == 0) == (digest == bytes(32)), 'an absent value')
                need(generation or part_of(f) == IMAGE, 'an absent text')
            self.rows[ref] = row
        r.end()

    def read_envelopes(self):
        r = Bytes(self.envelopes)
        r.magic('VFENVEL1')
        need(r.take(16).decode() == self.id and r.u32() == self.records, 'head of the envelopes')
        self.of_part = {p: [f for f in self.fields if part_of(f) == p] for p in (TEXT, IMAGE)}
        need([r.u8(), r.u8()] == [len(self.of_part[TEXT]), len(self.of_part[IMAGE])], 'head of the envelopes')
        self.boxes = {}
        for ref in self.rows:
            for p in (TEXT, IMAGE):
                n = len(self.of_part[p])
                self.boxes[ref, p] = r.take(n * 32 + 16 if n else 0)
        r.end()

    def share(self, identity):
        return identity.unseal(self.sealed_share)

    def keys(self, share, ref, part, release=None):
        """Field keys of one record's part."""
        n = len(self.of_part[part])
        if n == 0:
            return {}
        ek = envelope_key(share, release or offline_share(ref, part), self.id, ref, part)
        ad = frame('vaultfs v1 envelope', self.vault, self.id.encode(), ref.encode(), bytes([part]), u32(n))
        plain = aead_open(ek, bytes(24), ad, self.boxes[ref, part])
        return {f: plain[i * 32:i * 32 + 32] for i, f in enumerate(self.of_part[part])}

    def read_catalogue(self, share):
        """{ref: (seconds, {field: lengths})}"""
        r = Bytes(self.catalogue)
        r.magic('VFCATAL1')
        need(r.take(16).decode() == self.id, 'head of the catalogue')
        key = kdf(share, 'vaultfs v1 catalogue key', self.id.encode())
        ad = frame('vaultfs v1 catalogue', self.vault, self.id.encode())
        r = Bytes(aead_open(key, bytes(24), ad, r.take(len(self.catalogue) - 24)))
        need(r.u32() == self.records, 'records of the catalogue')
        found = {}
        for ref, row in self.rows.items():
            need(r.take(8).decode() == ref, 'order of the catalogue')
            seconds, lengths = r.u64(), {}
            for f in self.fields:
                if part_of(f) == TEXT:
                    lengths[f] = (r.u16(), r.u16())
                else:
                    lengths[f] = (r.u32(), 0)
                    need((lengths[f][0] == 0) == (row[f][0] == 0), 'length of an absent image')
            found[ref] = (seconds, lengths)
        r.end()
        return found


class Bundle:
    def __init__(self, data):
        r = Bytes(data)
        r.magic('VFBUNDL1')
        self.vault = r.take(16)
        count, index, last = r.u32(), [], b''
        for _ in range(count):
            key = r.take(13)
            need(key > last, 'order of the index')
            last = key
            index.append((key[:8].decode(), key[8], struct.unpack('>I', key[9:])[0], r.u32()))
        self.values = {}
        for ref, field, generation, length in index:
            need(field in FIELDS and FIELDS[field][1] != 'C' and generation > 0, 'an entry of the index')
            need(length == padded(field, length - 44) + 44, 'length of a value')
            self.values[ref, field, generation] = r.take(length)
        r.end()


def bundle_bytes(vault, values):
    """The encoder: {(ref, field, generation): sealed}."""
    items = sorted((ref.encode() + bytes([field]) + u32(generation), sealed) for (ref, field, generation), sealed in values.items())
    return (b'VFBUNDL1' + vault + u32(len(items)) + b''.join(key + u32(len(sealed)) for key, sealed in items)
            + b''.join(sealed for _, sealed in items))


class Revocation:
    def __init__(self, data, admins):
        need(len(data) <= 8192, 'size of a revocation')
        note = Note(data)
        t = Lines(note.text, 'vaultfs revocation v1')
        self.vault = t.hex('vault', 16)
        self.what = t.take('revokes')
        self.grant = t.take('grant') if self.what == 'grant' else None
        self.device = t.hex('enrolment-sha256', 32) if self.what == 'device' else None
        self.recipient, self.prekey = t.take('recipient'), t.take('prekey')
        self.keys = []
        while self.device and t.next() == 'grant-key':
            key = re.fullmatch('([A-Z2-7]{16}) ([1-9][0-9]*/(?:0|[1-9][0-9]*))', t.take('grant-key'))
            need(key and (not self.keys or key[1] > self.keys[-1][0]) and len(self.keys) < 128, 'the key of a grant')
            self.keys.append(key.groups())
        self.reason, self.time = t.take('reason'), t.time('time')
        t.end()
        need(note.signers(admins), 'the revocation is not signed')


# ---------------------------------------------------------------------------------------------------------- policy and backup

class PolicyVersion:
    def __init__(self, note):
        need(len(note.text) <= 16384, 'size of a policy')
        t = Lines(note.text, 'vaultfs policy v1')
        self.note, self.text_hash = note, sha256(note.text)
        self.vault, self.version = t.hex('vault', 16), t.number('version')
        self.previous = t.hex('previous', 32) if self.version > 1 else None
        self.created, self.force = t.time('created'), t.take('force')
        self.commitment, self.threshold = t.hex('commitment', 32), t.number('threshold')
        self.admins = []
        while t.next() == 'admin':
            self.admins.append(Public(t.take('admin').encode()))
        names = [a.name for a in self.admins]
        need(1 <= len(names) <= 16 and names == sorted(set(names)) and all(a.role == 'admin' for a in self.admins), 'admins')
        need(len({a.sign for a in self.admins}) == len(names) == len({a.box for a in self.admins}), 'keys of admins')
        need(1 <= self.threshold <= len(names), 'threshold')
        self.desk = None
        if t.next() == 'desk':
            self.desk, self.desk_url = Public(t.take('desk').encode()), t.take('desk-url')
        t.end()

    def keys(self):
        return [(a.name, a.sign) for a in self.admins]


class Policy:
    """A policy file: the versions in force, and the pending one if there is one."""

    def __init__(self, data):
        need(0 < len(data) <= 4 << 20, 'size of a policy file')
        self.in_force, self.pending = [], None
        rest = data
        while rest:
            end = rest.find(b'\n\n')
            end = rest.find(b'\n\n', end + 2)
            need(end > 0 and self.pending is None, 'a version that is cut, or one behind a pending one')
            self.add(PolicyVersion(Note(rest[:end + 1])))
            rest = rest[end + 2:]

    def add(self, v):
        need(v.version == len(self.in_force) + 1, 'number of a version')
        enough = len(v.note.signers(v.keys())) >= v.threshold
        if self.in_force:
            before = self.in_force[-1]
            need((v.vault, v.force, v.previous) == (before.vault, before.force, before.text_hash), 'link to the version before')
            enough = enough and len(v.note.signers(before.keys())) >= before.threshold
        if enough:
            self.in_force.append(v)
        else:
            self.pending = v

    def ruling(self):
        return self.in_force[-1]

    def check_grant(self, grant):
        """What makes a grant count."""
        ruling = self.ruling()
        need(grant.vault == ruling.vault, 'a grant of another force')
        need(1 <= grant.policy <= len(self.in_force) and self.in_force[grant.policy - 1].text_hash == grant.policy_hash, 'policy of the grant')
        need(len(grant.note.signers(ruling.keys())) >= ruling.threshold, 'signatures of the grant')


TABLES = ('meta', 'vk', 'record', 'index', 'head', 'value', 'grant', 'manifest', 'device', 'times')


class Backup:
    """A backup file of a vault: tables of rows, and files."""

    def __init__(self, data):
        r = Bytes(data)
        r.magic('VFBACKU1')
        self.vault, self.created, self.w = r.take(16), r.u64(), r.take(32)
        self.tables, self.files, rows = {name: {} for name in TABLES}, {}, 0
        last = (-1, b'')
        kind = r.take(1)
        while kind == b'R':
            table = r.u8()
            key_size, value_size = r.u16(), r.u32()
            key = r.take(key_size)
            need(table < len(TABLES) and (table, key) > last, 'order of the rows')
            last = (table, key)
            self.tables[TABLES[table]][key] = r.take(value_size)
            rows += 1
            kind = r.take(1)
        last = b''
        while kind == b'F':
            path = r.take(r.u16())
            need(path > last and len(path) <= 200, 'order of the files')
            last = path
            self.files[path.decode()] = r.take(r.u64())
            kind = r.take(1)
        need(kind == b'E' and r.u64() == rows and r.u64() == len(self.files), 'end of a backup')
        need(sha256(data[:r.at]) == r.take(32), 'hash of a backup')
        r.end()

    def values(self):
        """{(ref, field, generation): (epoch, s, sealed)}"""
        found = {}
        for key, row in self.tables['value'].items():
            v = Bytes(row)
            epoch, s, digest = v.u32(), v.take(32), v.take(32)
            sealed = v.take(len(row) - v.at)
            need(len(key) == 13 and sha256(sealed) == digest, 'a value of a backup')
            found[key[:8].decode(), key[8], struct.unpack('>I', key[9:])[0]] = (epoch, s, sealed)
        return found

    def record_keys(self):
        """{(ref, epoch): wrapped}"""
        found = {}
        for key, row in self.tables['record'].items():
            r = Bytes(row)
            for _ in range(r.u8()):
                epoch = r.u32()
                found[key.decode(), epoch] = r.take(72)
            r.end()
        return found


def open_wrapped(wrap_key, vault, ref, wrapped):
    return aead_open(wrap_key, wrapped[:24], frame('vaultfs v1 wrapped record key', vault, ref.encode()), wrapped[24:])


def open_head(head_key, vault, ref, head):
    return aead_open(head_key, head[:24], frame('vaultfs v1 record head', vault, ref.encode()), head[24:])


# ------------------------------------------------------------------------------------------------------------------------- log

# An entry's fields, always in this order; those with a question mark may be missing.
ENTRY = ['seq', 'time', 'event', 'category?', 'grant?', 'job?', 'recipient?', 'refs?', 'manifest?', 'part?', 'fields?', 'bytes?', 'uid?', 'pid?',
         'exe?', 'count?', 'object?', 'key?', 'host', 'session', 'result', 'nonce']
EVENTS = {'mount': '', 'open': 'disclosure', 'deny': '', 'repeat': 'disclosure', 'expire': '', 'revoke': '', 'release': 'disclosure', 'refuse': '',
          'receive': '', 'unmount': '', 'clock': '', 'seal': '', 'recover': '', 'gap': '', 'import': 'collection', 'change': 'alteration',
          'view': 'consultation', 'grant': '', 'sign': '', 'export': 'disclosure', 'erase': 'erasure', 'policy': '', 'rekey': 'alteration',
          'handin': '', 'time': ''}


ESCAPES = {'"': '\\"', '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t'}
# What a person cannot see, or what turns what he sees around: Bidi_Control, Default_Ignorable_Code_Point, line ends, annotation marks.
UNSEEN = {0xad, 0x34f, 0x61c, 0x115f, 0x1160, 0x17b4, 0x17b5, *range(0x180b, 0x1810), *range(0x200b, 0x2010), *range(0x2028, 0x202f), *range(0x2060, 0x2070), 0x3164,
          *range(0xfe00, 0xfe10), 0xfeff, 0xffa0, *range(0xfff0, 0xfffc), *range(0x1bca0, 0x1bca4), *range(0x1d173, 0x1d17b), *range(0xe0000, 0xe1000)}


def escaped(c):
    n = ord(c)
    if n > 0xffff:
        return f'\\u{0xd800 + (n - 0x10000 >> 10):04x}\\u{0xdc00 + (n - 0x10000 & 0x3ff):04x}'
    return f'\\u{n:04x}'


def written(value):
    """A JSON value in the one way that an entry has it."""
    if isinstance(value, str):
        unsafe = lambda c: ord(c) < 0x20 or 0x7f <= ord(c) < 0xa0 or ord(c) in UNSEEN
        return '"' + ''.join(ESCAPES.get(c) or (escaped(c) if unsafe(c) else c) for c in value) + '"'
    if isinstance(value, list):
        return '[' + ','.join(map(written, value)) + ']'
    if isinstance(value, dict):
        return '{' + ','.join(f'{written(k)}:{written(v)}' for k, v in value.items()) + '}'
    need(isinstance(value, int) and not isinstance(value, bool) and value >= 0, 'a value of an entry')
    return str(value)


class Entry:
    def __init__(self, line):
        def pairs(found):
            need(len({k for k, _ in found}) == len(found), 'a name twice in an entry')
            return dict(found)
        try:
            self.fields = json.loads(line.decode(), object_pairs_hook=pairs)
        except ValueError:
            raise Bad('an entry is no JSON') from None
        need(len(line) <= 24576 and written(self.fields).encode() == line, 'an entry is not written in the one way')
        self.line = line
        order = [name.rstrip('?') for name in ENTRY]
        names = list(self.fields)
        need(names == [n for n in order if n in self.fields], f'fields of an entry: {names}')
        need(all(n in self.fields for n in ENTRY if not n.endswith('?')), 'a field of an entry is missing')
        need(re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z', self['time']), 'time of an entry')
        need(self['event'] in EVENTS and self.fields.get('category', '') == EVENTS[self['event']], 'event of an entry')
        need(('key' in self.fields) == (self['event'] == 'seal'), 'a seal entry names a key')
        need(('manifest' in self.fields) == (self.fields.get('refs') == 'all'), 'manifest of an entry')
        need(('uid' in self.fields) == ('pid' in self.fields), 'uid and pid')
        need(re.fullmatch('[0-9a-f]{32}', self['nonce']) and re.fullmatch('[0-9a-f]{32}', self['session']), 'nonce and session')

    def __getitem__(self, name):
        return self.fields[name]


class Origin:
    def __init__(self, data):
        self.note = Note(data)
        lines = self.note.text.decode().split('\n')
        need(lines.pop() == '' and lines.pop(0) == 'vaultfs-log-v1', 'not the origin of a log')
        self.id = sha256(data)
        found = dict(line.split(' ', 1) for line in lines)
        need(list(found) == ['log', 'kind', 'owner', 'created', 'seal'] + ['follows'] * ('follows' in found), 'lines of an origin')
        self.line, self.kind, self.owner = found['log'], found['kind'], found['owner']
        need(re.fullmatch('vaultfs.log/[0-9a-f]{32}', self.line) and self.kind in ('station', 'vault', 'desk'), 'lines of an origin')
        self.seal = unbase64(found['seal'])
        need(len(self.seal) == 32, 'first seal key')


class Checkpoint:
    def __init__(self, note):
        self.note = note
        lines = note.text.decode().split('\n')
        need(len(lines) == 4 and lines[3] == '' and re.fullmatch('0|[1-9][0-9]*', lines[1]), 'a checkpoint')
        self.origin, self.size, self.root = lines[0], int(lines[1]), unbase64(lines[2])


def take_checkpoints(data):
    """The notes of a file of checkpoints: each is followed by an empty line."""
    found = []
    while data:
        end = data.find(b'\n\n', data.find(b'\n\n') + 2)
        need(end > 0, 'a checkpoint is cut')
        found.append(Checkpoint(Note(data[:end + 1])))
        data = data[end + 2:]
    return found


class Log:
    """A log's parts, from its folder or a handed-in file, and their proof."""

    def __init__(self, origin, checkpoints, lines, handed_in=False):
        self.origin, self.checkpoints, self.lines = Origin(origin), take_checkpoints(checkpoints), lines
        self.verify(handed_in)

    @classmethod
    def folder(cls, path):
        lines = []
        segments = sorted(path.glob('entries-' + '[0-9]' * 20 + '.jsonl'))
        starts = [int(s.name[8:28]) for s in segments]
        for segment, start, limit in zip(segments, starts, starts[1:] + [1 << 62]):
            need(start == len(lines), 'a segment does not begin where the one before ends')
            # What stands at or beyond the next segment's first number is void.
            lines += segment.read_bytes().split(b'\n')[:-1][:limit - start]
        checkpoints = path / 'checkpoints'
        return cls((path / 'origin').read_bytes(), checkpoints.read_bytes() if checkpoints.exists() else b'', lines)

    @classmethod
    def handed_in(cls, data):
        r = Bytes(data)
        r.magic('VFHANDIN')
        need(r.u32() == 1, 'version of a handed-in log')
        sizes = r.u32(), r.u64(), r.u64()
        origin, checkpoints = r.take(sizes[0]), r.take(sizes[1])
        rest = r.take(len(data) - r.at)
        need(rest == b'' or rest.endswith(b'\n'), 'a handed-in log is cut')
        lines = rest.split(b'\n')[:-1]
        need(len(lines) == sizes[2], 'entries of a handed-in log')
        return cls(origin, checkpoints, lines, handed_in=True)

    def verify(self, handed_in):
        """Every line hashed; each checkpoint signed by the key that the last seal entry below the one before it names."""
        tree, key, waiting, self.entries, self.sealed, last = Tree(), self.origin.seal, list(self.checkpoints), [], 0, ''
        named = seal_at = None
        for seq, line in enumerate(self.lines):
            entry = Entry(line)
            need(entry['seq'] == seq, f'entry {seq}: number {entry["seq"]}')
            need(entry['time'] >= last, f'entry {seq}: time')
            # After a seal entry stands its checkpoint, or a recover entry.
            need(seal_at is None or self.sealed == seq or entry['event'] == 'recover', f'entry {seq}: behind a seal entry')
            last, seal_at = entry['time'], None
            self.entries.append(entry)
            tree.add(line)
            if entry['event'] == 'seal':
                named, seal_at = unbase64(entry['key']), seq
            while waiting and waiting[0].size <= tree.size:
                c = waiting.pop(0)
                need(c.origin == self.origin.line and c.size == tree.size > self.sealed and c.root == tree.root(), 'a checkpoint')
                need(len(c.note.lines) == 1 and c.note.signers([(c.origin, key)]), 'signature of a checkpoint')
                need(named is not None, 'a checkpoint that covers no seal entry')
                key, named, self.sealed = named, None, c.size
        need(not waiting, 'the end was cut off')
        need(not handed_in or self.sealed == len(self.lines), 'a handed-in log ends with a checkpoint')
        self.tree, self.next_key = tree, key

    def contains(self, checkpoint):
        tree = Tree()
        for line in self.lines[:checkpoint.size]:
            tree.add(line)
        return checkpoint.origin == self.origin.line and tree.size == checkpoint.size and tree.root() == checkpoint.root


def seal_state(data, log, checkpoints):
    """The seal file of a log that is at rest and sealed: the secret for the next checkpoint, and where the log stands."""
    (sequence, payload), = slots(data, 'VFSEAL01')
    r = Bytes(payload)
    need(r.take(32) == log.origin.id, 'a seal of another log')
    seed, at = r.take(32), r.u64()
    need(nb.crypto_sign_seed_keypair(seed)[0] == log.next_key, 'the seal key is not the one that the log names')
    need(checkpoints[at:] == log.checkpoints[-1].note.data + b'\n', 'where the last checkpoint begins')
    first, behind, time, size = r.u64(), r.u64(), r.u64(), r.u64()
    need(first == 0 and behind == sum(len(line) + 1 for line in log.lines) and size == len(log.lines), 'where the last entry ends')
    seconds = calendar.timegm(time_module.strptime(log.entries[-1]['time'][:19], '%Y-%m-%dT%H:%M:%S'))
    need(time == seconds * 1000000 + int(log.entries[-1]['time'][20:26]), 'time of the last entry')
    need([r.take(32) for _ in log.tree.edge] == log.tree.edge[::-1], 'edge of the tree')
    r.end()
    return seed


def station_mac(identity, data):
    return kdf(kdf(identity.seed, 'vaultfs v1 station key'), 'vaultfs v1 station mac', data)


class Clock:
    """The newest slot of a station's clock."""

    def __init__(self, data, identity):
        payload = slots(data, 'VFCLOCK1')[0][1]
        r = Bytes(payload)
        self.highest, self.boot, self.boot_id, self.reset, self.policy = r.u64(), r.u64(), r.take(16), r.u64(), r.u32()
        self.anchor_wall, self.anchor_boot, self.past = r.u64(), r.u64(), r.u64()
        need(station_mac(identity, payload[:r.at]) == r.take(32), 'MAC of the clock')
        r.end()


def pin(data, identity):
    """The hash of the policy's first version that a station was made for."""
    need(len(data) == 72 and data[:8] == b'VFPIN001' and station_mac(identity, data[:40]) == data[40:], 'MAC of the pin')
    return data[8:40]


def receipt(data, log, admins):
    """Time and size of a receipt of one of `admins` that this log contains."""
    note = Note(data)
    c = Checkpoint(note)
    times = [note.cosigned(a.name, a.sign) for a in admins]
    times = [t for t in times if t is not None]
    need(times, 'a receipt of nobody known')
    need(log.contains(c), 'a receipt for another log')
    return max(times), c.size
