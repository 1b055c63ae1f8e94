# SPDX-License-Identifier: MIT
"""A force, a supplier and a mount, for tests: real programs, real files, a temporary folder that goes at the end.

Each test is a script that builds a World, does what its users would, and calls check() for what must hold. The programs come from the
environment that tests/mounted/meson.build sets: KEYTOOL, VAULTFS, VAULTFS_CLOCK, VAULTFS_STALE, VAULTFS_OPENDIR, SYNTH.
"""
import atexit
import csv
import datetime
import json
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

SKIP = 77
USER = 'vaultfs-test'


def skip(why):
    print(f'skipped: {why}')
    sys.exit(SKIP)


def check(condition, what):
    """The one assertion: says what failed, and stops."""
    if not condition:
        frame = sys._getframe(1)
        print(f'FAILED at {os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}: {what}', file=sys.stderr)
        sys.exit(1)


def need_fuse():
    """As root, make /dev/fuse what it is on ordinary machines; elsewhere say why the test cannot run."""
    if not os.path.exists('/dev/fuse'):
        skip('there is no /dev/fuse on this machine')
    if not os.access('/dev/fuse', os.R_OK | os.W_OK):
        skip('/dev/fuse may not be opened by this user')
    if os.geteuid() == 0 and stat.S_IMODE(os.stat('/dev/fuse').st_mode) != 0o666:
        os.chmod('/dev/fuse', 0o666)
    if shutil.which('fusermount3') is None:
        skip('fusermount3 is not installed (Debian package fuse3)')


def reachable_programs():
    """An ordinary user has to run them too: from a build below /root, say, he gets copies."""
    names = [n for n in ('KEYTOOL', 'KEYTOOL_CLOCK', 'VAULTFS', 'VAULTFS_CLOCK', 'VAULTFS_STALE', 'VAULTFS_STALL', 'VAULTFS_OPENDIR', 'HOLD', 'SYNTH') if n in os.environ]
    paths = [pathlib.Path(os.environ[n]) for n in names]
    if os.geteuid() != 0 or all(p.stat().st_mode & 0o001 for path in paths for p in (path, *path.parents)):
        return
    folder = tempfile.mkdtemp(prefix='vaultfs-programs-')
    os.chmod(folder, 0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, path in zip(names, paths):
        os.environ[name] = shutil.copy(path, folder)


reachable_programs()


def unprivileged_user():
    """Name of an ordinary user to test as; made when we are root and there is none."""
    if os.geteuid() != 0:
        return None
    import pwd
    for _ in range(20):
        try:
            pwd.getpwnam(USER)
            break
        except KeyError:
            # Another test may be making it just now: useradd then finds the file locked, or the user there.
            subprocess.run(['useradd', '--create-home', '--shell', '/bin/sh', USER], check=False)
            time.sleep(0.2)
    else:
        check(False, f'useradd makes {USER}')
    return USER


class World:
    def __init__(self, records=12, admins=1, threshold=1, synth=(), build=True):
        need_fuse()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix='vaultfs-test-'))
        os.chmod(self.dir, 0o755)
        self.mounts = []
        self.children = []
        atexit.register(self.clean)
        for sig in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sig, lambda *_: sys.exit(1))
        self.admins = ['alice', 'bob', 'carol'][:admins]
        self.vault = self.dir / 'vault'
        self.force = self.dir / 'force'
        if build:
            self.make_force(records, threshold, synth)

    # ------------------------------------------------------------------------------------------------------ programs

    def run(self, *args, expect=0, user=None, env=None, timeout=300, stdin=None):
        """Run a command; its exit status must be `expect` (None: any). Returns the finished process, text in stdout and stderr."""
        args = [str(a) for a in args]
        if user:
            args = ['runuser', '-u', user, '--'] + args
        p = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout,
                           env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL if stdin is None else stdin)
        if expect is not None and p.returncode != expect:
            print(f'$ {" ".join(args)}\n{p.stdout}{p.stderr}', file=sys.stderr)
            check(False, f'exit status {p.returncode} instead of {expect}')
        return p

    def keytool(self, *args, expect=0, user=None, env=None):
        return self.run(os.environ['KEYTOOL'], *args, expect=expect, user=user, env=env)

    # --------------------------------------------------------------------------------------------------------- force

    def key(self, name):
        return self.dir / f'{name}.key'

    def create_options(self):
        """More options for `vault create`."""
        return ()

    def make_force(self, records, threshold, synth):
        self.run(os.environ['SYNTH'], '--out', self.force, '--records', records, *synth)
        self.manifest = json.loads((self.force / 'manifest.json').read_text())
        self.truth = [json.loads(line) for line in (self.force / 'truth/records.jsonl').read_text().splitlines()]
        for name in self.admins:
            self.keytool('identity', 'new', '--role', 'admin', '--name', name, '--no-passphrase', self.key(name))
        pubs = [a for name in self.admins for a in ('--admin', f'{self.key(name)}.pub')]
        self.keytool('vault', 'create', '--force-name', 'Northshire Police', *pubs, '--threshold', threshold,
                     *self.create_options(), '--key', self.key('alice'), self.vault)
        self.policy = self.dir / 'force.policy'
        self.keytool('policy', 'export', self.vault, '-o', self.policy)
        for name in self.admins[1:threshold]:
            self.keytool('policy', 'sign', '--key', self.key(name), self.policy)
        if threshold > 1:
            self.keytool('policy', 'install', '--key', self.key('alice'), self.policy, self.vault)
        photos = ('--photos', self.force / 'photos') if (self.force / 'photos').is_dir() else ()
        self.keytool('record', 'import', '--csv', self.force / 'force.csv', '--map', self.force / 'force.map', *photos,
                     '--refs-out', self.dir / 'refs.csv', '--key', self.key('alice'), self.vault)
        with open(self.dir / 'refs.csv', newline='') as f:
            rows = list(csv.DictReader(f))
        by_row = {int(r['row']): r['ref'] for r in rows}
        for t in self.truth:
            t['ref'] = by_row[t['row']]
            t['text'] = {**t['A'], **t['B'], **t['C']}

    def station(self, name='printer', owner=None):
        """Make a station; the files of the supplier lie in a folder of the owner's."""
        home = self.dir / name
        home.mkdir(exist_ok=True)
        if owner:
            shutil.chown(home, owner, owner)
        os.chmod(self.policy, 0o644)
        station, enrol = home / 'station', home / f'{name}.enrol'
        self.keytool('station', 'create', '--name', name, '--policy', self.policy, '--no-passphrase', '-o', enrol, station, user=owner)
        return station, enrol

    def grant(self, enrol, job='cards', until='+1h', fields=None, records=('--records', 'all'), out=None, extra=(), expect=0,
              key='alice', release='offline'):
        out = out or self.dir / f'{job}.grant'
        what = ('--profile', 'card-print') if fields is None else ('--fields', fields)
        self.keytool('grant', 'issue', '--to', enrol, '--job', job, *what, *records, '--until', until, '--purpose', 'Warrant cards',
                     '--release', release, *extra, '--key', self.key(key), '-o', out, self.vault, expect=expect)
        if expect == 0:
            os.chmod(out, 0o644)
        return out

    def bundle(self, grant, out=None, extra=()):
        out = out or pathlib.Path(str(grant).replace('.grant', '.bundle'))
        self.keytool('bundle', 'export', '--grant', grant, *extra, '--key', self.key('alice'), '-o', out, self.vault)
        os.chmod(out, 0o644)
        return out

    def receive(self, station, *files, expect=0, user=None):
        return self.keytool('station', 'receive', station, *files, expect=expect, user=user)

    def deliver(self, station, enrol, user=None, **kw):
        grant = self.grant(enrol, **kw)
        bundle = self.bundle(grant)
        self.receive(station, grant, bundle, user=user)
        return grant, bundle

    # --------------------------------------------------------------------------------------------------------- mount

    def mount(self, station, where=None, options=(), exe='VAULTFS', user=None, expect=0, env=None):
        where = where or pathlib.Path(tempfile.mkdtemp(prefix='mnt-', dir=self.dir))
        if user:
            shutil.chown(where, user, user)
        p = self.run(os.environ[exe], *options, station, where, user=user, expect=expect, env=env, timeout=60)
        if p.returncode == 0:
            self.mounts.append((where, user))
        return where

    def pid_of(self, where, exe='VAULTFS', user=None):
        p = self.run(os.environ[exe], 'status', '--json', where, user=user)
        return json.loads(p.stdout)['pid']

    def unmount(self, where, user=None):
        self.run('fusermount3', '-u', where, user=user)
        self.mounts = [(m, u) for m, u in self.mounts if m != where]
        # The daemon seals its log after the mount has gone.
        for _ in range(100):
            if not os.path.exists(where / 'GRANT.txt') and not self.daemons():
                break
            time.sleep(0.05)

    def daemons(self):
        """Our daemons that still run: their command lines name our folder."""
        found = []
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                args = open(f'/proc/{pid}/cmdline', 'rb').read().split(b'\0')
            except OSError:
                continue
            if b'vaultfs' in os.path.basename(args[0]) and any(str(self.dir).encode() in a for a in args):
                found.append(int(pid))
        return found

    def clean(self):
        for where, _ in self.mounts:
            subprocess.run(['fusermount3', '-u', '-z', str(where)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for pid in self.daemons():
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        if os.environ.get('VAULTFS_TEST_KEEP'):
            print(f'kept: {self.dir}')
        else:
            shutil.rmtree(self.dir, ignore_errors=True)


# Errors a program gets, by name: Python's errno lacks some.
EKEYEXPIRED, EKEYREVOKED, EKEYREJECTED, ENOKEY = 127, 128, 129, 126


def errno_of(action):
    """The errno with which `action` fails, 0 when it does not."""
    try:
        action()
    except OSError as e:
        return e.errno
    return 0


def read(path):
    with open(path, 'rb') as f:
        return f.read()


def entries(log, torn=False):
    """The entries of a log folder, parsed. `torn`: the writer was killed, a last line without its end is no entry."""
    out = []
    for segment in sorted(pathlib.Path(log).glob('entries-*.jsonl')):
        lines = segment.read_bytes().split(b'\n')
        check(torn or lines[-1] == b'', f'{segment}: the last line is whole')
        out += [json.loads(line) for line in lines[:-1]]
    return out


def time_of(entry):
    """When an entry was written, as time.time() says it."""
    return datetime.datetime.strptime(entry['time'], '%Y-%m-%dT%H:%M:%S.%fZ').replace(tzinfo=datetime.timezone.utc).timestamp()


CARD_PRINT = ['name_on_card', 'rank', 'warrant_no', 'photo', 'signature', 'card_type', 'card_serial', 'issue_no', 'valid_from',
              'valid_to']
CARD_PRINT_TEXT = [f for f in CARD_PRINT if f not in ('photo', 'signature')]
