# SPDX-License-Identifier: MIT
"""No marker of eight bytes or more of any record - names, numbers, pieces of photos - stands in any file of vault, backup, bundle,
grant, enrolment, log or station: raw, in base64 at any alignment, or as UTF-16. A planted one is found."""
import base64
import os
import pathlib

from world import World, check, read


def forms(marker):
    """The marker as it might stand in a file."""
    yield marker
    for pad in range(3):
        # The characters that depend on the marker alone, wherever it stands in a base64 text.
        text = base64.b64encode(b'\0' * pad + marker)
        first = (pad * 8 + 5) // 6
        last = len(text) - 4 if (pad + len(marker)) % 3 else len(text)
        inner = text[first:last]
        if len(inner) >= 8:
            yield inner
    try:
        text = marker.decode()
    except UnicodeDecodeError:
        return
    yield text.encode('utf-16-le')
    yield text.encode('utf-16-be')


def scan(folder, needles):
    found = []
    for path in sorted(pathlib.Path(folder).rglob('*')) if os.path.isdir(folder) else [pathlib.Path(folder)]:
        if path.is_file():
            data = read(path)
            found += [(path, n) for n in needles if n in data]
    return found


world = World(records=10, synth=('--photos', 'mixed', '--protected', '10', '--signatures', '40'))
markers = [m.encode() for m in (world.force / 'truth/markers.txt').read_text().splitlines() if m]
weak = [m.encode() for m in (world.force / 'truth/weak-markers.txt').read_text().splitlines() if m]
camera = [m.encode() for m in (world.force / 'truth/camera-markers.txt').read_text().splitlines() if m]
pictures = []
for t in world.truth:
    photo = t.get('photo')
    if photo and photo.get('fragment'):
        pictures.append(bytes.fromhex(photo['fragment']))
check(len(markers) > 20 and len(pictures) > 5, 'there is something to look for')
needles = {f for m in markers + weak + camera + pictures for f in forms(m) if len(f) >= 8}

station, enrol = world.station()
grant, bundle = world.deliver(station, enrol)
backup = world.dir / 'vault.backup'
world.keytool('vault', 'backup', world.vault, backup)
mnt = world.mount(station)
table = read(mnt / 'cards/cards.csv')
check(any(m in table for m in markers), 'the mount itself serves them: the search works')
for p in sorted((mnt / 'cards/photos').iterdir()):
    read(p)
places = [world.vault, station, grant, bundle, enrol, backup, world.policy]
for place in places:
    found = scan(place, needles)
    check(not found, f'{found[:1]} stands in the clear')
world.unmount(mnt)
handin = world.dir / 'printer.log'
world.keytool('station', 'handin', station, '-o', handin)

# After an erase: neither the value nor a way to it.
gone = world.truth[0]
world.keytool('record', 'erase', '--ref', gone['ref'], '--reason-code', 'court', '--yes', '--key', world.key('alice'), world.vault)
for place in places + [handin]:
    found = scan(place, needles)
    check(not found, f'{found[:1]} stands in the clear after an erase')

planted = world.dir / 'planted'
planted.write_bytes(b'x' * 1000 + base64.b64encode(b'?' + markers[0]) + b'y' * 1000)
check(scan(planted, needles), 'a planted marker is found')
print(f'{len(needles)} needles, none found')
