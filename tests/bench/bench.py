#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How long the operations take that people wait for. Run by hand, on a quiet machine:

    ninja -C build && tests/bench/bench.py build [--records 2000] [--photos upright|none] [--json FILE]

Prints one line an operation, with its rate; beside the times the disk's own flush time, since every open waits for the log.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument('build')
parser.add_argument('--records', type=int, default=2000)
parser.add_argument('--photos', default='upright', choices=['upright', 'mixed', 'none'])
parser.add_argument('--json')
args = parser.parse_args()
build = pathlib.Path(args.build).resolve()
os.environ.update(KEYTOOL=str(build / 'keytool/keytool'), VAULTFS=str(build / 'vaultfs/vaultfs'),
                  SYNTH=str(build / 'tests/synth/vaultfs-synth'))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'mounted'))
from world import World, read  # noqa: E402

results = []


def measure(name, action, count, unit):
    started = time.perf_counter()
    out = action()
    took = time.perf_counter() - started
    results.append({'name': name, 'seconds': took, 'count': count, 'unit': unit})
    print(f'{name:<42} {took:9.3f} s   {count / took:12.0f} {unit}/s', flush=True)
    return out


def flush_time(folder):
    fd = os.open(folder / 'flush', os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    started = time.perf_counter()
    for _ in range(300):
        os.write(fd, b'x' * 400)
        os.fdatasync(fd)
    os.close(fd)
    return (time.perf_counter() - started) / 300


READ_ALL = 'import os,sys\nfor p in sys.stdin.read().split("\\n"):\n    if p:\n        f=os.open(p,os.O_RDONLY)\n        while os.read(f,1<<20): pass\n        os.close(f)\n'


def read_all(files, readers):
    parts = [files[i::readers] for i in range(readers)]
    procs = [subprocess.Popen([sys.executable, '-c', READ_ALL], stdin=subprocess.PIPE, text=True) for _ in parts]
    for p, part in zip(procs, parts):
        p.stdin.write('\n'.join(map(str, part)))
        p.stdin.close()
    for p in procs:
        if p.wait():
            sys.exit('a reader failed')


n = args.records
incomplete = ('--allow-incomplete',) if args.photos == 'none' else ()
world = World(build=False)
print(f'{n} records, photos {args.photos}; a flush of the disk takes {flush_time(world.dir) * 1e6:.0f} us')
world_import = World.keytool


def timed_keytool(self, *a, **kw):
    if a[:2] == ('record', 'import'):
        return measure('import (decode, encrypt, write)', lambda: world_import(self, *a, **kw), n, 'records')
    return world_import(self, *a, **kw)


World.keytool = timed_keytool
world.make_force(n, 1, ('--photos', args.photos))
station, enrol = world.station()
grant = measure('grant issue (card-print, all)', lambda: world.grant(enrol, extra=incomplete), n, 'records')
bundle = world.dir / 'cards.bundle'
measure('bundle export', lambda: world.bundle(grant, out=bundle), 1, 'files')
size = bundle.stat().st_size
results[-1].update(count=size / 1e6, unit='MB')
print(f'{"":<42} {size / 1e6:9.0f} MB')
measure('station receive', lambda: world.receive(station, grant, bundle), size / 1e6, 'MB')
mnt = world.dir / 'mnt'
mnt.mkdir()


def first_byte():
    world.mount(station, where=mnt)
    read(next((mnt / 'cards/records').iterdir()) / 'rank')


measure('mount to first byte (first time, walked)', first_byte, 1, 'mounts')
world.unmount(mnt)
measure('mount to first byte (after a clean close)', first_byte, 1, 'mounts')
texts = sorted((mnt / 'cards/records').glob('*/name_on_card'))
photos = sorted((mnt / 'cards/photos').iterdir())
measure('ls -lR', lambda: world.run('ls', '-lR', mnt), n * 9, 'files')
measure('cards.csv', lambda: read(mnt / 'cards/cards.csv'), n, 'rows')
for readers in (1, 4):
    measure(f'read all, {readers} reader(s)', lambda r=readers: read_all(texts + photos, r), len(texts) + len(photos), 'files')
again = 2000
measure('one photo again and again', lambda: read_all([photos[0]] * again, 1), again, 'opens')
world.unmount(mnt)
entries = sum(p.read_bytes().count(b'\n') for p in (station / 'log').glob('entries-*'))
measure('audit verify', lambda: world.keytool('audit', 'verify', '--enrol', enrol, station / 'log'), entries, 'entries')
if args.json:
    pathlib.Path(args.json).write_text(json.dumps(results, indent=1) + '\n')
