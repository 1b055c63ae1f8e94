#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How long the operations take that people wait for, beside other encrypted filesystems and what FUSE alone can do. Run by hand, on a quiet machine:

    ninja -C build && ninja -C build tests/bench/bench-reader tests/bench/bench-ceiling tests/bench/keytool-undecoded
    tests/bench/bench.py build [--records 10000] [--photo-kb 20-86] [--rounds 5] [--readers 1,2,4,8] [--peers gocryptfs,securefs]
                         [--growth 1000,10000,47000,100000] [--only read,list] [--folder DIR] [--json FILE] [--svg FILE]

Makes a force of so many synthetic officers, brings their photos and one text field each into a mount, copies the same files into each of the
peers that are installed (Debian packages gocryptfs, securefs, encfs, cryfs), and measures all of them in turn within each round, the order
moved on by one from round to round. Before any time is taken, all of them must have served the same bytes (SHA-256 of every file), and each timed
reading must have read as many. All backing stores lie in one folder and are in the page cache; the mounts are fresh before each measurement, so
that what the kernel knows of names and pages is nothing at first; "again" is a second pass in the same mount. Beside the speed of reading the processor
time of daemon and readers: on a machine that is not quiet it says more. Every open of vaultfs
waits until its entry is on the disk: the disk's own flush time is measured before each round.

Told are medians, and the ratio to the best peer of the same round with its spread. Workloads: ingest, chain (grant, export, receive, renewal),
mount, list, read, latency, cp, tar, verify, memory; growth by --growth, with text alone.
"""
import argparse
import contextlib
import hashlib
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / 'mounted')]

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument('build')
parser.add_argument('--records', type=int, default=10000)
parser.add_argument('--photo-kb', default='20-86', help='size of the photos; the default makes 534 MB of 10,000')
parser.add_argument('--rounds', type=int, default=5)
parser.add_argument('--readers', default='1,2,4,8')
parser.add_argument('--peers', help='only these (default: all that are installed)')
parser.add_argument('--growth', default='', help='numbers of records, text alone')
parser.add_argument('--only', default='', help='workloads, by name')
parser.add_argument('--folder', default='/tmp', help='where everything lies: a real disk')
parser.add_argument('--json')
parser.add_argument('--svg')
args = parser.parse_args()
build = pathlib.Path(args.build).resolve()
os.environ.update(KEYTOOL=str(build / 'keytool/keytool'), VAULTFS=str(build / 'vaultfs/vaultfs'), SYNTH=str(build / 'tests/synth/vaultfs-synth'),
                  TMPDIR=args.folder)
READER, CEILING, UNDECODED = (build / 'tests/bench' / p for p in ('bench-reader', 'bench-ceiling', 'keytool-undecoded'))
for program in (os.environ['KEYTOOL'], os.environ['VAULTFS'], os.environ['SYNTH'], READER, CEILING, UNDECODED):
    if not os.path.exists(program):
        sys.exit(f'{program} is not built; see --help')

import plot  # noqa: E402
import systems  # noqa: E402
from world import World  # noqa: E402

READERS = [int(n) for n in args.readers.split(',')]
wanted = set(filter(None, args.only.split(',')))


def asked(workload):
    return not wanted or workload in wanted


# ----------------------------------------------------------------------------------------------------------------- what was measured

class Results:
    """Values by workload and system, one a round; units and which way is better."""

    def __init__(self):
        self.rows = {}
        self.facts = {}

    def add(self, workload, system, value, unit, better='more'):
        # How near FUSE alone comes to it says something only where files are looked at.
        ceiling = not workload.startswith(('mount', 'memory'))
        row = self.rows.setdefault(workload, {'unit': unit, 'better': better, 'ceiling': ceiling, 'systems': {}})
        row['systems'].setdefault(system, []).append(value)

    def ratios(self, row, system, others):
        """Of each round: how many times better than the best of the others."""
        values = row['systems'].get(system, [])
        theirs = [row['systems'][o] for o in others if o in row['systems']]
        if not theirs:
            return []
        out = []
        for i, mine in enumerate(values):
            best = [t[i] for t in theirs if i < len(t)]
            if best and mine and all(best):
                out.append(mine / max(best) if row['better'] == 'more' else min(best) / mine)
        return out

    def as_json(self):
        out = {'facts': self.facts, 'workloads': {}}
        for name, row in self.rows.items():
            told = {}
            for system, values in row['systems'].items():
                told[system] = {'median': statistics.median(values), 'values': values}
                for against, others in (('best_peer', peer_names), ('ceiling', ['constants']), ('ceiling_store', ['constants, stored']),
                                        ('ceiling_crypto', ['constants, with crypto'])):
                    r = self.ratios(row, system, others) if system.startswith('vaultfs') else []
                    if r and (against == 'best_peer' or row['ceiling']):
                        told[system][f'times_{against}'] = {'median': statistics.median(r), 'least': min(r), 'most': max(r)}
            out['workloads'][name] = {'unit': row['unit'], 'better': row['better'], 'systems': told}
        return out


results = Results()
peer_names = []


def say(text=''):
    print(text, flush=True)


def number(value):
    return f'{value:,.0f}' if value >= 100 else f'{value:.3g}'


def tell(workload):
    row = results.rows[workload]
    say(f'\n{workload} ({row["unit"]}; {row["better"]} is better)')
    for system, values in row['systems'].items():
        line = f'  {system:<22} {number(statistics.median(values)):>12}   {number(min(values))} to {number(max(values))}'
        if system.startswith('vaultfs'):
            for word, others in (('the best peer', peer_names), ('constants', ['constants']), ('constants, stored', ['constants, stored']),
                                 ('constants, with crypto', ['constants, with crypto'])):
                r = results.ratios(row, system, others)
                if r and (others == peer_names or row['ceiling']):
                    line += f'   {statistics.median(r):.2f} ({min(r):.2f} to {max(r):.2f}) x {word}'
        say(line)


def timed(act):
    at = time.perf_counter()
    out = act()
    return time.perf_counter() - at, out


def flush_us(folder, times=200):
    """What the disk needs to make one line of the log durable."""
    path = pathlib.Path(folder) / 'flush'
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    took = []
    for _ in range(times):
        os.write(fd, b'x' * 400)
        took.append(timed(lambda: os.fdatasync(fd))[0])
    os.close(fd)
    path.unlink()
    return statistics.median(took) * 1e6


# ------------------------------------------------------------------------------------------------------------------------ the world

class Force(World):
    """A force and its supplier's station, each step timed."""

    def __init__(self, records, photos, keytool=None):
        super().__init__(build=False)
        self.records, self.took = records, {}
        self.program = str(keytool or os.environ['KEYTOOL'])
        self.with_photos = photos
        # An import takes 64 MiB of CSV. Other seeds make other officers; one in a hundred has a number that was there already, and is changed.
        chunk = records if photos else 100000
        for at in range(0, records, chunk):
            part = self.dir / f'force{at}'
            kind = ('--photo-kb', args.photo_kb) if photos else ('--photos', 'none')
            systems.run(os.environ['SYNTH'], '--out', part, '--records', min(chunk, records - at), '--seed', 1 + at // chunk, *kind)
        self.parts = sorted(self.dir.glob('force*'), key=lambda p: int(p.name[5:]))

    def step(self, name, *a):
        took, _ = timed(lambda: systems.run(self.program, *a))
        self.took[name] = self.took.get(name, 0) + took
        return took

    def found(self):
        self.step('-', 'identity', 'new', '--role', 'admin', '--name', 'alice', '--no-passphrase', self.key('alice'))
        self.step('-', 'vault', 'create', '--force-name', 'Northshire Police', '--admin', f'{self.key("alice")}.pub', '--threshold', 1, '--key', self.key('alice'), self.vault)
        self.policy = self.dir / 'force.policy'
        self.step('-', 'policy', 'export', self.vault, '-o', self.policy)

    def ingest(self):
        for part in self.parts:
            photos = ('--photos', part / 'photos') if self.with_photos else ()
            self.step('ingest', 'record', 'import', '-q', '--csv', part / 'force.csv', '--map', part / 'force.map', *photos, '--key', self.key('alice'), self.vault)
        return self.took['ingest']

    def deliver(self, name, fields):
        home = self.dir / name
        home.mkdir()
        station, enrol, grant, bundle = home / 'station', home / f'{name}.enrol', home / 'cards.grant', home / 'cards.bundle'
        incomplete = () if self.with_photos else ('--allow-incomplete',)
        self.step('-', 'station', 'create', '--name', name, '--policy', self.policy, '--no-passphrase', '-o', enrol, station)
        self.step('grant', 'grant', 'issue', '-q', '--to', enrol, '--job', 'cards', '--fields', fields, '--records', 'all', '--until', '+20d', '--purpose', 'Benchmark',
                  '--release', 'offline', *incomplete, '--key', self.key('alice'), '-o', grant, self.vault)
        self.step('export', 'bundle', 'export', '-q', '--grant', grant, '--key', self.key('alice'), '-o', bundle, self.vault)
        self.step('receive', 'station', 'receive', '-q', station, grant, bundle)
        return station, enrol, grant, bundle.stat().st_size

    def renew(self, station, grant):
        gid = next(line.split()[-1] for line in open(grant, errors='replace') if line.startswith('grant: '))
        new = grant.with_name('renewed.grant')
        self.step('renew', 'grant', 'renew', '-q', '--until', '+25d', '--no-handin', '--key', self.key('alice'), '-o', new, gid, self.vault)
        self.step('renew', 'station', 'receive', '-q', station, new)
        return new.stat().st_size


def digest(root):
    """SHA-256 over all files below, names and contents, in order of name."""
    whole = hashlib.sha256()
    for path in sorted(p for p in root.rglob('*') if p.is_file()):
        whole.update(f'{path.relative_to(root)}\0'.encode() + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def warm(folder):
    """Into the page cache."""
    for path in pathlib.Path(folder).rglob('*'):
        if path.is_file() and not path.is_symlink():
            with open(path, 'rb') as f:
                while f.read(1 << 20):
                    pass


@contextlib.contextmanager
def mounted(system):
    system.start()
    try:
        yield system.root()
    finally:
        system.stop()


def in_turn(all_systems, turn):
    at = turn % len(all_systems)
    return all_systems[at:] + all_systems[:at]


# ------------------------------------------------------------------------------------------------------------------------ workloads

class Bench:
    def __init__(self):
        self.force = Force(args.records, True)
        self.place = self.force.dir
        self.listed, self.photos_listed = self.place / 'list', self.place / 'list.photos'
        self.peers = systems.peers(self.place, args.peers.split(',') if args.peers else None)
        peer_names.extend(p.name for p in self.peers)

    def prepare(self):
        force = self.force
        force.found()
        took = force.ingest()
        say(f'vaultfs: import in {took:.1f} s')
        if asked('ingest'):
            results.add('ingest', 'vaultfs', took, 's', 'less')
            other = Force.__new__(Force)
            other.__dict__.update(force.__dict__, vault=self.place / 'vault-undecoded', program=str(UNDECODED), took={})
            other.step('-', 'vault', 'create', '--force-name', 'Northshire Police', '--admin', f'{force.key("alice")}.pub', '--threshold', 1, '--key', force.key('alice'), other.vault)
            results.add('ingest', 'vaultfs, not decoding', other.ingest(), 's', 'less')
            shutil.rmtree(other.vault)
        station, _, _, _ = force.deliver('reader', 'name_on_card,photo')
        self.vaultfs = systems.Vaultfs('vaultfs', self.place, station, os.environ['VAULTFS'])
        self.vaultfs_kept = systems.Vaultfs('vaultfs, cache=grant', self.place, station, os.environ['VAULTFS'], ('-o', 'cache=grant'))
        self.tree = self.place / 'tree'
        self.tree.mkdir()
        with mounted(self.vaultfs) as root:
            for folder in ('photos', 'records'):
                systems.run('cp', '-r', root / folder, self.tree / folder)
        systems.run('chmod', '-R', 'u+w', self.tree)
        files = sorted(str(p.relative_to(self.tree)) for p in self.tree.rglob('*') if p.is_file())
        self.listed.write_text('\n'.join(files) + '\n')
        self.photos_listed.write_text('\n'.join(f for f in files if f.startswith('photos/')) + '\n')
        self.files, self.bytes = len(files), sum((self.tree / f).stat().st_size for f in files)
        results.facts.update(records=args.records, files=self.files, megabytes=round(self.bytes / 1e6, 1))
        say(f'{self.files} files, {self.bytes / 1e6:.0f} MB')

    def fill_peers(self):
        """Their ingest: what cp -r takes. In turn, in each round in a new store; the last one stays."""
        rounds = min(args.rounds, 3) if asked('ingest') else 1
        for turn in range(rounds):
            for peer in in_turn(self.peers, turn):
                shutil.rmtree(peer.store, ignore_errors=True)
                for extra in self.place.glob(f'{peer.name}.pass'):
                    extra.unlink()
                peer.make()
                with mounted(peer) as root:
                    took, _ = timed(lambda r=root: systems.run('cp', '-r', self.tree / 'photos', self.tree / 'records', r))
                if asked('ingest'):
                    results.add('ingest', peer.name, took, 's', 'less')
        self.ceilings = [systems.Ceiling('constants', self.place, self.tree, CEILING), systems.Ceiling('constants, stored', self.place, self.tree, CEILING, '-s'),
                         systems.Ceiling('passed through', self.place, self.tree, CEILING, '-p'),
                         systems.Ceiling('constants, with crypto', self.place, self.tree, CEILING, '-s', '-c')]
        self.all = [self.vaultfs, self.vaultfs_kept, *self.peers, *self.ceilings, systems.Plain('no FUSE', self.place, self.tree)]

    def prove(self):
        """The same bytes from all (the constants have sizes alone)."""
        warm(self.place)
        want = {folder: digest(self.tree / folder) for folder in ('photos', 'records')}
        for system in [self.vaultfs, self.vaultfs_kept, *self.peers, self.ceilings[2]]:
            with mounted(system) as root:
                if {folder: digest(root / folder) for folder in want} != want:
                    sys.exit(f'{system.name} reads other bytes')
        say(f'all serve the same bytes: {", ".join(f"{k} {v[:16]}" for k, v in want.items())}')

    def reading(self, root, listed, readers, seed=None):
        shuffled = ('-r', seed) if seed else ()
        out = json.loads(systems.run(READER, '-n', readers, *shuffled, listed, root, output=True))
        if listed == self.listed and (out['files'], out['bytes']) != (self.files, self.bytes):
            sys.exit(f'{root}: {out["files"]} files and {out["bytes"]} bytes instead of {self.files} and {self.bytes}')
        return out

    def read_all(self, turn):
        for readers in READERS:
            for order in ('name', 'random'):
                for system in in_turn(self.all, turn):
                    with mounted(system) as root:
                        for again in ('', ', again'):
                            before = system.spent()
                            out = self.reading(root, self.listed, readers, 1 + turn if order == 'random' else None)
                            spent = system.spent() - before + out['user'] + out['system']
                            name = f'{readers} reader{"s" if readers > 1 else ""}, {order} order{again}'
                            results.add(f'read all, {name}', system.name, out['files'] / out['seconds'], 'files/s')
                            results.add(f'processors, {name}', system.name, spent * 1e6 / out['files'], 'µs a file, daemon and readers', 'less')

    def latency(self, turn):
        for system in in_turn(self.all, turn):
            with mounted(system) as root:
                self.commands(root, 'ls', '-lR')  # names are known, as to a program that shows a folder first
                out = self.reading(root, self.photos_listed, 1, 1 + turn)
                for which in ('p50', 'p99'):
                    results.add(f'one photo, {which}', system.name, out[f'{which}_us'], 'µs', 'less')

    def commands(self, root, *command):
        p = subprocess.Popen([*command, 'photos', 'records'], cwd=root, stdout=subprocess.PIPE)
        while p.stdout.read(1 << 20):
            pass
        if p.wait():
            sys.exit(f'{command} failed in {root}')

    def walks(self, turn):
        for system in in_turn(self.all, turn):
            if asked('list'):
                with mounted(system) as root:
                    results.add('ls -lR', system.name, timed(lambda r=root: self.commands(r, 'ls', '-lR'))[0] * 1e3, 'ms', 'less')
                    results.add('ls -lR, again', system.name, timed(lambda r=root: self.commands(r, 'ls', '-lR'))[0] * 1e3, 'ms', 'less')
            if asked('tar'):
                with mounted(system) as root:
                    results.add('tar', system.name, timed(lambda r=root: self.commands(r, 'tar', '-cf', '-'))[0], 's', 'less')
            if asked('cp'):
                out = pathlib.Path('/dev/shm') / f'{self.place.name}-copy'
                out.mkdir()
                try:
                    with mounted(system) as root:
                        results.add('cp -r', system.name, timed(lambda r=root, o=out: systems.run('cp', '-r', r / 'photos', r / 'records', o))[0], 's', 'less')
                finally:
                    shutil.rmtree(out)

    def mounting(self, turn):
        first = self.photos_listed.read_text().split('\n', 1)[0]
        for system in in_turn([s for s in self.all if s.name != 'no FUSE'], turn):
            took, _ = timed(system.start)
            more, _ = timed(lambda s=system: open(s.root() / first, 'rb').read(1))
            results.add('mount to first byte', system.name, (took + more) * 1e3, 'ms', 'less')
            if asked('memory'):
                self.commands(system.root(), 'ls', '-lR')
                self.reading(system.root(), self.listed, 4)
                results.add('memory after reading all', system.name, system.memory() / 1e6, 'MB resident, anonymous', 'less')
            system.stop()

    def chain(self):
        """The force's and the supplier's steps, on a grant of four fields for all."""
        for turn in range(min(args.rounds, 3)):
            self.force.took = {}
            station, _, grant, size = self.force.deliver(f'chain{turn}', 'name_on_card,rank,warrant_no,photo')
            renewal = self.force.renew(station, grant)
            took = self.force.took
            results.add('grant for all (4 fields)', 'vaultfs', took['grant'], 's', 'less')
            results.add('bundle export', 'vaultfs', size / 1e6 / took['export'], 'MB/s')
            results.add('station receive', 'vaultfs', size / 1e6 / took['receive'], 'MB/s')
            results.add('renewal (issue and receive)', 'vaultfs', took['renew'], 's', 'less')
            results.facts.update(bundle_megabytes=round(size / 1e6, 1), renewal_bytes=renewal)
            shutil.rmtree(self.place / f'chain{turn}')

    def verify(self):
        log = self.vaultfs.station / 'log'
        entries = sum(f.read_bytes().count(b'\n') for f in log.glob('entries-*'))
        for _ in range(min(args.rounds, 3)):
            took, _ = timed(lambda: systems.run(os.environ['KEYTOOL'], 'audit', 'verify', log))
            results.add('log verify', 'vaultfs', entries / took, 'entries/s')
        results.facts['log_entries'] = entries

    def all_of_it(self):
        self.prepare()
        self.fill_peers()
        self.prove()
        if asked('chain'):
            self.chain()
        for turn in range(args.rounds):
            results.add('the disk: one flush', 'disk', flush_us(self.place), 'µs', 'less')
            say(f'round {turn + 1} of {args.rounds}, a flush takes {results.rows["the disk: one flush"]["systems"]["disk"][-1]:.0f} µs, load {os.getloadavg()[0]:.1f}')
            if asked('read'):
                self.read_all(turn)
            if asked('latency'):
                self.latency(turn)
            if any(asked(w) for w in ('list', 'tar', 'cp')):
                self.walks(turn)
            if asked('mount') or asked('memory'):
                self.mounting(turn)
        if asked('verify'):
            self.verify()


# --------------------------------------------------------------------------------------------------------------------------- growth

def grow(records):
    """Text alone: what the number of records does to each step. One run each: they are long, and only their growth is of interest."""
    force = Force(records, False)
    force.found()
    force.ingest()
    station, _, grant, size = force.deliver('reader', 'name_on_card,rank,warrant_no,card_serial')
    force.renew(station, grant)
    v = systems.Vaultfs('vaultfs', force.dir, station, os.environ['VAULTFS'])
    say(f'\n{records} records, bundle {size / 1e6:.1f} MB')

    def note(name, value, unit, better='less'):
        results.add(f'growth: {name}', f'{records} records', value, unit, better)
        say(f'  {name:<44} {value:12,.2f} {unit}')
    for name in ('ingest', 'grant', 'export', 'receive', 'renew'):
        note(name, force.took[name], 's')
    v.start()
    refs = sorted(os.listdir(v.root() / 'records'))
    v.stop()
    say(f'  {len(refs)} of them with numbers of their own')
    # After a clean close its mark says that nobody else wrote to the database; without it a child walks it first.
    for which in ('no clean close before', 'clean close before'):
        if which.startswith('no'):
            (station / 'clean').unlink()
        took, _ = timed(lambda: (v.start(), (v.root() / 'records' / refs[0] / 'rank').read_bytes()))
        note(f'mount to first byte, {which}', took * 1e3, 'ms')
        if which.startswith('no'):
            v.stop()
    note('memory, just mounted', v.memory() / 1e6, 'MB resident, anonymous')
    note('ls -l of records', timed(lambda: subprocess.run(['ls', '-l', str(v.root() / 'records')], stdout=subprocess.DEVNULL, check=True))[0], 's')
    note('cards.csv', timed(lambda: (v.root() / 'cards.csv').read_bytes())[0], 's')
    some = refs[::max(1, len(refs) // 5000)]
    (force.dir / 'list').write_text(''.join(f'{r}/rank\n' for r in some))
    out = json.loads(systems.run(READER, '-n', 4, force.dir / 'list', v.root() / 'records', output=True))
    note('text fields read by 4 readers', out['files'] / out['seconds'], 'files/s', 'more')
    note('memory, after that', v.memory() / 1e6, 'MB resident, anonymous')
    v.stop()
    force.clean()


def facts():
    cpu = next((line.split(':')[1].strip() for line in open('/proc/cpuinfo') if line.startswith('model name')), 'unknown')
    results.facts.update(kernel=platform.release(), processors=os.cpu_count(), processor=cpu, load_at_start=os.getloadavg()[0], rounds=args.rounds,
                         photo_kb=args.photo_kb, peers=[systems.version(n) for n in peer_names])


def main():
    growth = [int(n) for n in args.growth.split(',') if n]
    if not growth or wanted:
        bench = Bench()
        facts()
        say(json.dumps(results.facts))
        bench.all_of_it()
        for workload in results.rows:
            tell(workload)
    for records in growth:
        grow(records)
    results.facts['load_at_end'] = os.getloadavg()[0]
    if not results.facts.get('kernel'):
        facts()
    out = results.as_json()
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(out, indent=1, ensure_ascii=False) + '\n')
    if args.svg:
        pathlib.Path(args.svg).write_text(plot.svg(out, peer_names))


main()
