# SPDX-License-Identifier: MIT
"""Two of three admins: one signature, one key twice, a name borrowed, a removed admin, a fork, an older policy: exit 4 or 3, and nothing is
mounted. A policy that takes a signature away ends the grant in a running mount; the same grant with enough signatures opens it again."""
import base64
import os
import struct
import sys
import time
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / 'reader')]

from world import EKEYREVOKED, World, check, entries, errno_of, read  # noqa: E402
import reader  # noqa: E402


def with_note(data, note):
    old = struct.unpack('>I', data[8:12])[0]
    return data[:8] + struct.pack('>I', len(note)) + note + data[12 + old:]


def line(name, kind_key, seed_key, text):
    import nacl.bindings as nb
    signature = nb.crypto_sign(text, seed_key)[:64]
    return f'— {name} {base64.b64encode(reader.key_id(name, 1, kind_key) + signature).decode()}\n'.encode()


def shows_nothing(world, station):
    mnt = world.mount(station)
    check(all(n.startswith('.') for n in os.listdir(mnt)), 'nothing is mounted')
    world.unmount(mnt)


def refused(world, station, data, what, code):
    path = world.dir / 'evil.grant'
    path.write_bytes(data)
    p = world.keytool('station', 'receive', station, path, expect=None)
    check(p.returncode == code, f'{what}: exit {p.returncode} instead of {code}: {p.stdout}{p.stderr}')
    verified = world.keytool('grant', 'verify', '--policy', world.policy, path, expect=None)
    check(verified.returncode == code, f'{what}: grant verify: exit {verified.returncode} instead of {code}: {verified.stdout}{verified.stderr}')


def two_of_three():
    world = World(records=4, admins=3, threshold=2)
    station, enrol = world.station()
    one = world.grant(enrol)
    data = one.read_bytes()
    parsed = reader.Grant(data)
    text, lines = parsed.note.text, parsed.note.data[len(parsed.note.text) + 1:]
    keys = {name: reader.Identity(world.key(name).read_bytes()) for name in ('alice', 'bob', 'carol')}
    stranger = World(records=2)
    mallory = reader.Identity(stranger.key('alice').read_bytes())

    def note(*extra):
        return with_note(data, text + b'\n' + lines + b''.join(extra))

    alice = line('alice', keys['alice'].public.sign, keys['alice'].sign_secret, text)
    check(lines == alice, 'signatures are deterministic: ours is theirs')
    refused(world, station, data, 'one signature', 4)
    refused(world, station, note(alice), 'the same key twice', 4)
    refused(world, station, note(*[alice] * 20), 'the same key twenty times', 4)
    refused(world, station, note(line('bob', keys['alice'].public.sign, keys['alice'].sign_secret, text)), 'alice as bob', 4)
    refused(world, station, note(line('mallory', mallory.public.sign, mallory.sign_secret, text)), 'a stranger', 4)
    refused(world, station, note(line('bob', mallory.public.sign, mallory.sign_secret, text)), 'a stranger as bob', 4)
    refused(world, station, note(line('bob', keys['bob'].public.sign, mallory.sign_secret, text)), 'a false signature under bob\'s key id', 3)
    bob = line('bob', keys['bob'].public.sign, keys['bob'].sign_secret, text)
    false = line('carol', keys['carol'].public.sign, keys['carol'].sign_secret, text + b' ')
    refused(world, station, note(bob, false), 'two good ones and a false one', 3)
    refused(world, station, with_note(data, text.replace(b'budget: none', b'budget: 5') + b'\n' + lines + bob), 'a changed text', 3)
    refused(world, station, with_note(data, text + b'\n'), 'no signature line', 3)
    shows_nothing(world, station)

    # The other admin signs his own copy of the file, on his own copy of the vault; the signatures are merged.
    world.run('cp', '-r', world.vault, world.dir / 'vault-of-bob')
    copy = world.dir / 'bob.grant'
    copy.write_bytes(data)
    world.keytool('grant', 'review', '--key', world.key('bob'), '-o', world.dir / 'review.html', copy, world.dir / 'vault-of-bob')
    world.keytool('grant', 'sign', '--key', world.key('bob'), '--yes', copy, world.dir / 'vault-of-bob')
    merged = world.dir / 'merged.grant'
    world.keytool('grant', 'merge', one, copy, '-o', merged)
    check(reader.Grant(merged.read_bytes()).note.signers([(n, k.public.sign) for n, k in keys.items()])
          == {keys['alice'].public.sign, keys['bob'].public.sign}, 'the second reader counts two')
    bundle = world.bundle(merged)
    world.receive(station, merged, bundle)
    mnt = world.mount(station)
    check(len(os.listdir(mnt / 'cards/photos')) == 4, 'two of three: it is served')
    world.unmount(mnt)
    return world, station, enrol


def becomes(action, wanted, what):
    end = time.time() + 1
    while time.time() < end:
        if errno_of(action) == wanted:
            return
        time.sleep(0.02)
    check(False, f'{what}: errno {errno_of(action)} instead of {wanted}')


def change_policy(world, *options, signers=('alice', 'bob')):
    """The next version, signed and installed; the file to send."""
    following, out = world.dir / 'next.policy', world.dir / 'sent.policy'
    world.keytool('policy', 'change', *options, '--key', world.key('alice'), '--force', '-o', following, world.vault)
    for name in signers[1:]:
        world.keytool('policy', 'sign', '--key', world.key(name), following)
    world.keytool('policy', 'install', '--key', world.key('alice'), following, world.vault)
    world.keytool('policy', 'export', world.vault, '--force', '-o', out)
    return out


def removed_admin():
    """Carol signs, and leaves. What she signed with alice counts until the station hears of it."""
    world = World(records=4, admins=3, threshold=2)
    station, enrol = world.station()
    first_policy = world.policy.read_bytes()
    grant = world.grant(enrol)
    unsigned = grant.read_bytes()
    world.keytool('grant', 'sign', '--key', world.key('carol'), '--yes', grant, world.vault)
    world.receive(station, grant, world.bundle(grant))
    late = world.dir / 'late.grant'
    world.grant(enrol, job='late', out=late)
    world.keytool('grant', 'sign', '--key', world.key('carol'), '--yes', late, world.vault)
    mnt = world.mount(station)
    photo = sorted((mnt / 'cards/photos').iterdir())[0]
    good = read(photo)
    held = os.open(photo, os.O_RDONLY)
    check(os.pread(held, 1 << 21, 0) == good, 'served')
    new = change_policy(world, '--remove-admin', 'carol')
    world.receive(station, new)
    becomes(lambda: read(photo), EKEYREVOKED, 'a running mount, once carol is gone')
    becomes(lambda: os.pread(held, 100, 0), EKEYREVOKED, 'its open files too')
    os.close(held)
    check(world.keytool('station', 'receive', station, late, expect=4), 'a grant she signed before, received after')
    # Alice and bob sign what alice and carol had signed: the same grant, which the station has already.
    again = world.dir / 'again.grant'
    again.write_bytes(unsigned)
    world.keytool('grant', 'sign', '--key', world.key('bob'), '--yes', again, world.vault)
    world.receive(station, again)
    becomes(lambda: read(photo), 0, 'the same grant with signatures that count')
    check(read(photo) == good, 'and the same photo')
    world.unmount(mnt)
    # The older policy again, in which carol counts.
    old = world.dir / 'old.policy'
    old.write_bytes(first_policy)
    world.keytool('station', 'receive', station, old, expect=4)
    world.mount(station, where=mnt)
    check(sorted(n for n in os.listdir(mnt) if not n.startswith('.')) == ['cards'], 'what alice and bob signed is shown, nothing else')
    world.unmount(mnt)
    check(any(e['event'] == 'revoke' for e in entries(station / 'log')), 'the end was logged')
    world.keytool('audit', 'verify', '--enrol', enrol, station / 'log')


def forked_policy():
    """A policy that carol made with her own key alone, from the same version 1: not in force, and no way to slip in."""
    world = World(records=2, admins=3, threshold=2)
    station, enrol = world.station()
    following = world.dir / 'carol.policy'
    world.keytool('policy', 'change', '--remove-admin', 'alice', '--threshold', '1', '--key', world.key('carol'), '-o', following, world.vault)
    p = world.keytool('station', 'receive', station, following, expect=None)
    check(p.returncode == 0 and 'version 1' in p.stdout or p.returncode == 4, f'a version that k have not signed changes nothing: {p.returncode} {p.stdout}')
    grant = world.grant(enrol)
    world.keytool('station', 'receive', station, grant, expect=4)
    shows_nothing(world, station)


two_of_three()
removed_admin()
forked_policy()
print('k of n, and no other way')
