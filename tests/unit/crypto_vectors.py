#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
A second implementation of docs/format.md part B, from that part alone: hashlib, and python3-nacl for XChaCha20-Poly1305, Argon2id,
Ed25519 and sealed boxes. It writes crypto_vectors.h, which the unit tests of the crypto room compare with:

    /usr/bin/python3 crypto_vectors.py > crypto_vectors.h
"""
import base64
import hashlib
import struct

import nacl.bindings as nb
import nacl.pwhash
import nacl.signing


def frame(label, *parts):
    return b"".join(struct.pack(">I", len(p)) + p for p in (label.encode(), *parts))


def kdf(key, label, *parts):
    return hashlib.blake2b(frame(label, *parts), digest_size=32, key=key).digest()


def seal(key, nonce, ad, plain):
    return nb.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, ad, nonce, key)


def u16(n):
    return struct.pack(">H", n)


def u32(n):
    return struct.pack(">I", n)


def u64(n):
    return struct.pack(">Q", n)


def counting(start, n):
    return bytes((start + i) & 0xFF for i in range(n))


def show(name, data):
    text = data.hex()
    lines = [text[i:i + 100] for i in range(0, len(text), 100)]
    print(f"#define {name} \\\n    " + " \\\n    ".join(f'"{line}"' for line in lines))


# Inputs: the tests build the same ones.
VK, W, RK, SALT = counting(0x00, 32), counting(0x20, 32), counting(0x40, 32), counting(0x60, 32)
VAULT = counting(0x80, 16)
REF, GRANT = b"ABCD2345", b"ABCDEFGHIJ234567"
FIELD, GENERATION = bytes([4]), u32(0x01020304)
TEXT, IMAGE = b"\0", b"\1"
NONCE = counting(0xA0, 24)

print("/* SPDX-License-Identifier: MIT */")
print("/* Written by crypto_vectors.py: do not edit. */")

index_key = kdf(VK, "vaultfs v1 index key")
wrap_key = kdf(VK, "vaultfs v1 wrap key", W)
head_key = kdf(RK, "vaultfs v1 head key")
field_key = kdf(RK, "vaultfs v1 field key", FIELD, GENERATION, SALT)
gs = kdf(VK, "vaultfs v1 grant share", W, GRANT)
release_secret = kdf(VK, "vaultfs v1 release secret", W, GRANT)
rs = kdf(release_secret, "vaultfs v1 release share", REF, IMAGE)
rs_offline = hashlib.blake2b(frame("vaultfs v1 offline release share, public", REF, IMAGE), digest_size=32).digest()
ek = kdf(gs, "vaultfs v1 envelope key", rs, GRANT, REF, IMAGE)
ck = kdf(gs, "vaultfs v1 catalogue key", GRANT)

show("V_INDEX_KEY", index_key)
show("V_WRAP_KEY", wrap_key)
show("V_HEAD_KEY", head_key)
show("V_FIELD_KEY", field_key)
show("V_GRANT_SHARE", gs)
show("V_RELEASE_SECRET", release_secret)
show("V_RELEASE_SHARE", rs)
show("V_RELEASE_SHARE_OFFLINE", rs_offline)
show("V_ENVELOPE_KEY", ek)
show("V_CATALOGUE_KEY", ck)
show("V_INDEX_OF_0012345", kdf(index_key, "vaultfs v1 warrant number", b"0012345"))
show("V_VAULT_COMMITMENT", kdf(VK, "vaultfs v1 vault commitment", VAULT))

value_ad = frame("vaultfs v1 value", VAULT, REF, FIELD, GENERATION)
show("V_VALUE", NONCE + seal(field_key, NONCE, value_ad, u32(9) + b"Sergeant!" + bytes(40 - 9)))
# Sealed with the right key, but not as a writer of values would.
show("V_VALUE_LENGTH", NONCE + seal(field_key, NONCE, value_ad, u32(41) + b"Sergeant!" + bytes(40 - 9)))
show("V_VALUE_LENGTH_MOST", NONCE + seal(field_key, NONCE, value_ad, u32(1048576) + b"Sergeant!" + bytes(40 - 9)))
show("V_VALUE_PADDING", NONCE + seal(field_key, NONCE, value_ad, u32(9) + b"Sergeant!" + bytes(40 - 10) + b"x"))
show("V_VALUE_NO_LENGTH", NONCE + seal(field_key, NONCE, value_ad, b"\0\0\0"))
show("V_WRAPPED", NONCE + seal(wrap_key, NONCE, frame("vaultfs v1 wrapped record key", VAULT, REF), RK))
show("V_HEAD", NONCE + seal(head_key, NONCE, frame("vaultfs v1 record head", VAULT, REF), b"a record's head"))
show("V_ENVELOPE", seal(ek, bytes(24), frame("vaultfs v1 envelope", VAULT, GRANT, REF, IMAGE, u32(2)), field_key + RK))
show("V_CATALOGUE", seal(ck, bytes(24), frame("vaultfs v1 catalogue", VAULT, GRANT), b"a grant's catalogue"))

# An identity of each role from fixed secrets.
sign_seed, box_secret, cosign_seed = counting(0x11, 32), counting(0x31, 32), counting(0x51, 32)
sign = nacl.signing.SigningKey(sign_seed)
cosign = nacl.signing.SigningKey(cosign_seed)
box_public = nb.crypto_scalarmult_base(box_secret)


def line(role, name, third):
    return f"vaultfs-identity-v1 {role} {name} ".encode() + base64.b64encode(bytes(sign.verify_key) + box_public + third)


admin_line = line("admin", "inspector.a", bytes(32))
desk_line = line("desk", "desk-1", bytes(cosign.verify_key))
print(f'#define V_ADMIN_LINE "{admin_line.decode()}"')
print(f'#define V_DESK_LINE "{desk_line.decode()}"')
digest = hashlib.sha256(admin_line).digest()
b32 = base64.b32encode(digest[:20]).decode()
print('#define V_ADMIN_FINGERPRINT "' + "-".join(b32[i:i + 4] for i in range(0, 32, 4)) + '"')
show("V_STATION_KEY", kdf(sign_seed, "vaultfs v1 station key"))
show("V_STATION_MAC", kdf(kdf(sign_seed, "vaultfs v1 station key"), "vaultfs v1 station mac", b"clock"))


def identity_file(public, secrets, passphrase=None, mem=0, passes=0, version=1):
    salt, nonce = (counting(0xC0, 16), NONCE) if passphrase else (bytes(16), bytes(24))
    head = (b"VFIDENT\0" + u32(version) + u16(len(public)) + public + u32(mem) + u32(passes) + salt + nonce
            + u16(112 if passphrase else 96))
    if passphrase:
        key = nacl.pwhash.argon2id.kdf(32, passphrase, salt, opslimit=passes, memlimit=mem * 1024)
        secrets = seal(key, nonce, head, secrets)
    return head + secrets + hashlib.sha256(head + secrets).digest()


show("V_ADMIN_FILE", identity_file(admin_line, sign_seed + box_secret + bytes(32)))
show("V_DESK_FILE", identity_file(desk_line, sign_seed + box_secret + cosign_seed))
show("V_LOCKED_FILE", identity_file(desk_line, sign_seed + box_secret + cosign_seed, b"correct horse", 65536, 2))
# Whole and with the right checksum, but wrong inside.
show("V_FILE_VERSION", identity_file(admin_line, sign_seed + box_secret + bytes(32), version=2))
show("V_FILE_OTHER_KEY", identity_file(admin_line, box_secret + box_secret + bytes(32)))
show("V_FILE_THIRD_KEY", identity_file(admin_line, sign_seed + box_secret + cosign_seed))
head = admin_line[:-1] + b"!"
show("V_FILE_LINE", identity_file(head, sign_seed + box_secret + bytes(32)))
for name, mem, passes in (("LOW", 65535, 2), ("ONE", 65536, 1), ("HIGH", 1048577, 2), ("ELEVEN", 65536, 11)):
    body = (b"VFIDENT\0" + u32(1) + u16(len(admin_line)) + admin_line + u32(mem) + u32(passes) + counting(0xC0, 16) + NONCE
            + u16(112) + bytes(112))
    show(f"V_FILE_COST_{name}", body + hashlib.sha256(body).digest())

# A note.
text = b"a text\n\nof two paragraphs\n"
key_id = hashlib.sha256(b"inspector.a\n\x01" + bytes(sign.verify_key)).digest()[:4]
signature = base64.b64encode(key_id + sign.sign(text).signature).decode()
print(f'#define V_NOTE "a text\\n\\nof two paragraphs\\n\\n\\xe2\\x80\\x94 inspector.a {signature}\\n"')

# Merkle roots of n leaves, leaf i being the decimal i.
def node(hashes):
    if len(hashes) == 1:
        return hashes[0]
    k = 1 << (len(hashes) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + node(hashes[:k]) + node(hashes[k:])).digest()


leaves = [hashlib.sha256(b"\0" + str(i).encode()).digest() for i in range(1000)]
for n in (1, 2, 3, 7, 64, 100, 1000):
    show(f"V_ROOT_{n}", node(leaves[:n]))

# A slot.
slot = b"VFTESTS\0" + u32(1) + u64(7) + u16(5) + b"hello"
show("V_SLOT", slot + hashlib.sha256(slot).digest())
