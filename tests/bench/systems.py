# SPDX-License-Identifier: MIT
"""What bench.py measures: vaultfs, other encrypted filesystems where they are installed, and what FUSE alone can do. Each is made, filled, mounted
and unmounted in the same way: make(folder), start() and stop(), root() where the files are."""
import atexit
import os
import pathlib
import shutil
import subprocess
import sys
import time

PASSPHRASE = 'a passphrase of the benchmark'


def run(*args, stdin=None, env=None, output=False):
    """Run to its end; a failure ends the benchmark and shows what the program said."""
    args = [str(a) for a in args]
    p = subprocess.run(args, input=stdin, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **(env or {})})
    if p.returncode:
        sys.exit(f'$ {" ".join(args)}\n{p.stdout}{p.stderr}')
    return p.stdout if output else None


def is_mounted(where):
    with open('/proc/self/mounts') as f:
        return any(line.split()[1] == str(where) for line in f)


def wait_until(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit(f'waited {seconds} s in vain: {what}')
        time.sleep(0.002)


def processes_of(word):
    """Processes that have this word in their command line, by number."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            args = pathlib.Path(f'/proc/{pid}/cmdline').read_bytes()
        except OSError:
            continue
        if str(word).encode() in args and int(pid) != os.getpid():
            found.append(int(pid))
    return found


def anonymous(pid):
    """Resident anonymous memory of a process in bytes."""
    for line in pathlib.Path(f'/proc/{pid}/status').read_text().splitlines():
        if line.startswith('RssAnon:'):
            return int(line.split()[1]) * 1024
    return 0


def processor_seconds(pids):
    """Of these processes so far, threads that have ended included: the processor clock of another process, as clock_getcpuclockid(3) makes it."""
    total = 0
    for pid in pids:
        try:
            total += time.clock_gettime(~pid << 3 | 2)
        except OSError:
            pass
    return total


class System:
    """One filesystem. `below`: where its tree is, below the mount point. `peer`: another encrypted filesystem."""
    peer = False
    below = '.'

    def __init__(self, name, place):
        self.name = name
        plain = ''.join(c if c.isalnum() else '-' for c in name)
        self.store = place / f'{plain}.store'
        self.mnt = place / f'{plain}.mnt'
        self.mnt.mkdir(exist_ok=True)
        self.process = None
        atexit.register(self.leave)

    def leave(self):
        """However the benchmark ends, nothing stays mounted. (Runs before the folder is removed.)"""
        if is_mounted(self.mnt):
            subprocess.run(['fusermount3', '-u', '-z', str(self.mnt)], stderr=subprocess.DEVNULL)

    def root(self):
        return self.mnt / self.below

    def stop(self):
        if is_mounted(self.mnt):
            # A crawler or a program that is just ending may still be inside.
            for _ in range(50):
                if subprocess.run(['fusermount3', '-u', str(self.mnt)], stderr=subprocess.DEVNULL).returncode == 0:
                    break
                time.sleep(0.1)
            else:
                sys.exit(f'{self.mnt} cannot be unmounted')
        wait_until(lambda: not is_mounted(self.mnt), f'{self.name} is unmounted')
        if self.process:
            self.process.wait()
            self.process = None
        else:
            wait_until(lambda: not processes_of(self.mnt), f'{self.name} ends')

    def memory(self):
        return max((anonymous(pid) for pid in processes_of(self.mnt)), default=0)

    def spent(self):
        """Processor time of its daemon so far."""
        return processor_seconds(processes_of(self.mnt))


class Gocryptfs(System):
    peer = True
    program = 'gocryptfs'

    def password_file(self):
        path = self.store.with_suffix('.pass')
        path.write_text(PASSPHRASE + '\n')
        return path

    def make(self):
        self.store.mkdir()
        run('gocryptfs', '-init', '-q', '-scryptn', '10', '-passfile', self.password_file(), self.store)

    def start(self):
        run('gocryptfs', '-q', '-passfile', self.password_file(), self.store, self.mnt)


class Securefs(System):
    peer = True
    program = 'securefs'

    def make(self):
        self.store.mkdir()
        # Few rounds, as with gocryptfs: what is measured is not how long a passphrase takes.
        run('securefs', 'create', '--pbkdf', 'pkcs5-pbkdf2-hmac-sha256', '-r', '1000', '--pass', PASSPHRASE, self.store)

    def start(self):
        run('securefs', 'mount', '-b', '--log', '/dev/null', '--pass', PASSPHRASE, self.store, self.mnt)
        wait_until(lambda: is_mounted(self.mnt), 'securefs mounts')


class Encfs(System):
    peer = True
    program = 'encfs'

    def make(self):
        self.store.mkdir()

    def start(self):
        # The first mount makes it.
        run('encfs', '--standard', '--stdinpass', self.store, self.mnt, stdin=PASSPHRASE + '\n')


class Cryfs(System):
    peer = True
    program = 'cryfs'
    env = {'CRYFS_FRONTEND': 'noninteractive', 'CRYFS_NO_UPDATE_CHECK': 'true'}

    def make(self):
        self.store.mkdir()

    def start(self):
        # Its daemon keeps what it prints to open: pipes would never end.
        p = subprocess.run(['cryfs', str(self.store), str(self.mnt)], input=(PASSPHRASE + '\n').encode(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                           env={**os.environ, **self.env})
        if p.returncode:
            sys.exit(f'cryfs does not mount: status {p.returncode}')


class Plain(System):
    """The folder itself: what the disk cache gives without FUSE."""

    def __init__(self, name, place, tree):
        super().__init__(name, place)
        self.tree = tree

    def root(self):
        return self.tree

    def start(self):
        pass

    def stop(self):
        pass

    def memory(self):
        return 0

    def spent(self):
        return 0


class Ceiling(System):
    """bench-ceiling: FUSE with nothing to do. Without options constants by READ; -s: by NOTIFY_STORE; -p: the folder passed through."""

    def __init__(self, name, place, tree, program, *options):
        super().__init__(name, place)
        self.tree, self.program, self.options = tree, program, options

    def start(self):
        self.process = subprocess.Popen([self.program, *self.options, self.tree, self.mnt])
        wait_until(lambda: is_mounted(self.mnt) or self.process.poll() is not None, f'{self.name} mounts')
        if self.process.poll() is not None:
            sys.exit(f'{self.name} does not mount')


class Vaultfs(System):
    def __init__(self, name, place, station, program, options=(), job='cards'):
        super().__init__(name, place)
        self.station, self.program, self.options, self.below = station, program, options, job

    def start(self):
        run(self.program, *self.options, self.station, self.mnt)


PEERS = [Gocryptfs, Securefs, Encfs, Cryfs]


def peers(place, wanted):
    """Those that are installed (and asked for)."""
    return [c(c.program, place) for c in PEERS if shutil.which(c.program) and (wanted is None or c.program in wanted)]


def version(program):
    args = {'gocryptfs': ['--version'], 'encfs': ['--version'], 'cryfs': ['--version']}.get(program)
    if args is None:
        p = subprocess.run(['dpkg-query', '-W', '-f=${Version}', program], stdout=subprocess.PIPE, text=True)
        return f'{program} {p.stdout}'
    p = subprocess.run([program, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **Cryfs.env})
    return p.stdout.splitlines()[0].split(';')[0].strip()
