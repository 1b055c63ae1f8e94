# SPDX-License-Identifier: MIT
"""The daemon under attack by its own user, who may not trace it: memory, core dumps, descriptors, hostile names, crowds, interrupted opens,
unmounting and ending it while it is busy, two mounts racing, nonsense on the control socket."""
import csv
import errno
import hashlib
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / 'reader')]

import reader  # noqa: E402
from world import World, check, entries, errno_of, read, unprivileged_user  # noqa: E402

# What a program of the same user tries. Prints one JSON line: what could be done.
PRY = r'''
import ctypes, json, os, sys
pid, libc = int(sys.argv[1]), ctypes.CDLL(None, use_errno=True)
could = []
for name in ('mem', 'environ', 'maps', 'auxv', 'stack', 'syscall'):
    try:
        with open(f'/proc/{pid}/{name}', 'rb') as f:
            f.read(1)
        could.append(name)
    except OSError:
        pass
for name in ('fd', 'map_files', 'fdinfo'):
    try:
        os.listdir(f'/proc/{pid}/{name}')
        could.append(name)
    except OSError:
        pass
for name in ('root', 'cwd', 'exe'):
    try:
        os.readlink(f'/proc/{pid}/{name}')
        could.append(name)
    except OSError:
        pass
libc.ptrace.restype = ctypes.c_long
for what, request in (('attach', 16), ('seize', 0x4206)):
    if libc.ptrace(ctypes.c_long(request), ctypes.c_long(pid), None, None) == 0:
        could.append(what)
        libc.ptrace(ctypes.c_long(17), ctypes.c_long(pid), None, None)
class iovec(ctypes.Structure):
    _fields_ = [('base', ctypes.c_void_p), ('len', ctypes.c_size_t)]
buf = ctypes.create_string_buffer(16)
local, remote = iovec(ctypes.addressof(buf), 16), iovec(0x400000, 16)
ctypes.set_errno(0)
if libc.process_vm_readv(pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0) >= 0 or ctypes.get_errno() == 14:
    could.append('process_vm_readv')
pidfd = libc.syscall(434, pid, 0)
if pidfd >= 0 and libc.syscall(438, pidfd, 0, 0) >= 0:
    could.append('pidfd_getfd')
print(json.dumps(could))
'''


def as_user(world, user, *args, **kw):
    return world.run(sys.executable, *args, user=user, **kw)


def set_up(user, records=12):
    world = World(records=records)
    station, enrol = world.station(owner=user)
    world.deliver(station, enrol, user=user)
    return world, station, enrol


def memory():
    """Nobody without privileges looks into the daemon; the same program finds another process of the user wide open."""
    user = unprivileged_user()
    world, station, _ = set_up(user)
    mnt = world.mount(station, user=user)
    pid = world.pid_of(mnt, user=user)
    could = json.loads(as_user(world, user, '-c', PRY, str(pid)).stdout)
    check(could == [], f'the daemon\'s user could {could}')
    other = subprocess.Popen((['runuser', '-u', user, '--'] if user else []) + ['sleep', '60'], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    time.sleep(0.3)
    victim = other.pid
    if user:
        victim = int(subprocess.run(['pgrep', '-P', str(other.pid)], capture_output=True, text=True).stdout or other.pid)
    could = json.loads(as_user(world, user, '-c', PRY, str(victim)).stdout)
    # runuser does not hand a kill on, and what was traced may have been left stopped.
    os.kill(victim, signal.SIGKILL)
    other.kill()
    other.wait()
    check({'maps', 'environ', 'attach', 'process_vm_readv'} <= set(could), f'a process without these protections is open: {could}')
    if os.geteuid() == 0:
        limits = (pathlib.Path('/proc') / str(pid) / 'limits').read_text()
        line = next(l for l in limits.splitlines() if l.startswith('Max core file size'))
        check(line.split()[4] == '0', 'no core file')
        status = (pathlib.Path('/proc') / str(pid) / 'status').read_text()
        check(int(next(l for l in status.splitlines() if l.startswith('VmLck')).split()[1]) >= 6 * 1024, 'secrets are in locked memory')
    world.unmount(mnt, user=user)


def core_dump():
    """Killed by a signal that dumps core, in the foreground as our own child, limits wide open: no core."""
    world, station, _ = set_up(None, records=4)
    mnt = world.dir / 'mnt'
    mnt.mkdir()
    p = subprocess.Popen([os.environ['VAULTFS'], '-f', str(station), str(mnt)], cwd=world.dir,
                         preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)))
    for _ in range(100):
        if os.path.ismount(mnt):
            break
        time.sleep(0.05)
    read(sorted((mnt / 'cards/photos').iterdir())[0])
    p.send_signal(signal.SIGSEGV)
    _, status = os.waitpid(p.pid, 0)
    check(status != 0 and not (os.WIFSIGNALED(status) and os.WCOREDUMP(status)), 'no core was dumped')
    subprocess.run(['fusermount3', '-u', '-z', str(mnt)], check=True)
    check(not list(world.dir.glob('core*')), 'no core file')


def names():
    """Names that no lookup should survive: refused, not logged."""
    world, station, enrol = set_up(None, records=4)
    mnt = world.mount(station)
    marker = b'NOSUCHOFFICER-SMITH'
    bad = [marker, marker * 11, b'\xff\xfe' + marker, marker + b'\n', b'a\tb' + marker, b' ', b'...', b'.. ', b'-', b'%s%n%s', b'*',
           'é'.encode() * 60, b'\xe2\x80\xae' + marker, b'\x01' * 200, b'AAAAAAAA.JPG', b'aaaaaaaa', b'AAAAAAAA', b'GRANT.TXT',
           b'cards.csv ', b'photos\\x', b'cards.csv:stream', b'.nomedia.', bytes(range(1, 47)) + bytes(range(48, 128))]
    ref = os.listdir(mnt / 'cards/records')[0]
    for folder in ('', 'cards', 'cards/photos', 'cards/signatures', 'cards/records', f'cards/records/{ref}'):
        for name in bad:
            path = os.path.join(os.fsencode(mnt / folder), name)
            for action in (lambda: os.stat(path), lambda: os.open(path, os.O_RDONLY), lambda: os.listdir(path), lambda: os.readlink(path)):
                check(errno_of(action) in (errno.ENOENT, errno.ENOTDIR), f'{name!r} in {folder}')
        for length in (255, 300, 1024, 1100, 3800):
            path = os.path.join(os.fsencode(mnt / folder), b'x' * length)
            check(errno_of(lambda: os.stat(path)) in (errno.ENOENT, errno.ENAMETOOLONG), f'a name of {length} bytes')
    check(errno_of(lambda: os.stat(mnt / 'cards/GRANT.txt/x')) == errno.ENOTDIR, 'a file is no folder')
    check(errno_of(lambda: os.getxattr(mnt / 'cards/GRANT.txt', 'user.x')) == errno.EOPNOTSUPP, 'no attributes')
    world.unmount(mnt)
    text = b''.join(p.read_bytes() for p in (station / 'log').glob('entries-*'))
    check(marker not in text and b'SMITH' not in text, 'no name that was asked for is in the log')
    world.keytool('audit', 'verify', '--enrol', enrol, station / 'log')


CROWD = r'''
import hashlib, os, sys, threading, random
folder, seconds = sys.argv[1], float(sys.argv[2])
import time
good, names = {}, sorted(os.listdir(folder))
for n in names:
    with open(os.path.join(folder, n), 'rb') as f:
        good[n] = hashlib.sha256(f.read()).digest()
wrong, count, end = [], [0] * 64, time.time() + seconds
def work(i):
    r = random.Random(i)
    while time.time() < end:
        n = r.choice(names)
        fds = [os.open(os.path.join(folder, n), os.O_RDONLY) for _ in range(r.randrange(1, 8))]
        fd = r.choice(fds)
        data = b''
        if r.random() < 0.3:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        while True:
            piece = os.pread(fd, r.choice((100, 4096, 65536, 1 << 20)), len(data))
            if not piece:
                break
            data += piece
        if hashlib.sha256(data).digest() != good[n]:
            wrong.append(n)
        for fd in fds:
            os.close(fd)
        count[i] += len(fds)
threads = [threading.Thread(target=work, args=(i,)) for i in range(64)]
[t.start() for t in threads]
[t.join() for t in threads]
assert not wrong, wrong
print(sum(count))
'''

# Opens and reads, a signal every fraction of a millisecond: system calls are interrupted at every place.
INTERRUPTED = r'''
import os, random, signal, sys, time
folder, end, seed = sys.argv[1], time.time() + float(sys.argv[2]), int(sys.argv[3])
signal.signal(signal.SIGALRM, lambda *_: None)
signal.siginterrupt(signal.SIGALRM, True)
r, names = random.Random(seed), sorted(os.listdir(folder))
while time.time() < end:
    signal.setitimer(signal.ITIMER_REAL, r.random() * 0.003, 0.0003)
    try:
        fd = os.open(os.path.join(folder, r.choice(names)), os.O_RDONLY)
        os.pread(fd, 1 << 20, 0)
        os.close(fd)
    except InterruptedError:
        pass
    signal.setitimer(signal.ITIMER_REAL, 0)
    if seed % 2 and r.random() < 0.05:
        os.kill(os.getpid(), signal.SIGKILL)
'''


def open_files(world, mnt):
    p = world.run(os.environ['VAULTFS'], 'status', '--json', mnt)
    return json.loads(p.stdout)['open_files']


def settled(world, mnt):
    """RELEASE comes after close: wait for the last one."""
    for _ in range(100):
        if open_files(world, mnt) == 0:
            return True
        time.sleep(0.05)
    return False


def crowds():
    world, station, enrol = set_up(None)
    mnt = world.mount(station)
    photos = mnt / 'cards/photos'
    check(settled(world, mnt), 'nothing is open at first')
    opened = int(world.run(sys.executable, '-c', CROWD, photos, '6').stdout)
    check(opened > 1000, f'{opened} opens')
    check(settled(world, mnt), 'a crowd leaves no handle behind')
    table = [subprocess.Popen(['md5sum', str(mnt / 'cards' / n)], stdout=subprocess.PIPE) for n in ('cards.csv', 'cards-excel.csv') * 16]
    sums = {p.communicate(timeout=60)[0] for p in table}
    check(len(sums) == 2 and all(p.returncode == 0 for p in table), 'thirty-two readers of the tables agree')
    end = time.time() + 8
    seed, running = 0, []
    while time.time() < end:
        running = [p for p in running if p.poll() is None]
        while len(running) < 6:
            seed += 1
            running.append(subprocess.Popen([sys.executable, '-c', INTERRUPTED, str(photos), '2', str(seed)], stderr=subprocess.DEVNULL))
        if seed % 3 == 0:
            running[0].send_signal(signal.SIGKILL)
        time.sleep(0.05)
    for p in running:
        p.wait(timeout=20)
    check(settled(world, mnt), f'interrupted and killed openers leave no handle behind: {open_files(world, mnt)}')
    world.unmount(mnt)
    world.keytool('audit', 'verify', '--enrol', enrol, station / 'log')


def tables():
    """Sixty-four readers of a large table, half of them with the longest reads there are: each gets all of it, none is told that memory is short."""
    world = World(records=3000, synth=('--photos', 'none'))
    station, enrol = world.station()
    world.deliver(station, enrol, fields='name_on_card,rank,warrant_no,surname,forenames,station')
    mnt = world.mount(station)
    table = mnt / 'cards/cards.csv'
    good = hashlib.sha256(read(table)).hexdigest()
    check(os.stat(table).st_size > 200000, 'a large table')
    script = f'dd if={table} bs=4M iflag="$1" | sha256sum'
    readers = [subprocess.Popen(['bash', '-o', 'pipefail', '-c', script, 'x', ('fullblock', 'direct')[i % 2]], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True) for i in range(64)]
    for p in readers:
        out, err = p.communicate(timeout=120)
        check(p.returncode == 0 and out.split()[0] == good, f'a reader of the table: {err.splitlines()[:1]}')
    check(settled(world, mnt), 'and nothing stays open')
    world.unmount(mnt)


def leaving_busy():
    """fusermount3 -u while files are open is refused by the kernel, -z hides the mount, which ends with the last file; a killed daemon's mount
    point can be cleaned."""
    world, station, enrol = set_up(None, records=6)
    mnt = world.mount(station)
    path = sorted((mnt / 'cards/photos').iterdir())[0]
    good = read(path)
    with open(path, 'rb') as f:
        busy = world.run('fusermount3', '-u', mnt, expect=None)
        check(busy.returncode != 0 and 'busy' in busy.stderr.lower(), 'busy')
        check(f.read() == good, 'and nothing is lost')
        world.run('fusermount3', '-u', '-z', mnt)
        check(os.listdir(mnt) == [], 'the mount is hidden')
        f.seek(0)
        check(f.read() == good, 'who has a file open reads on')
        check(len(world.daemons()) == 1, 'its daemon lives for that')
        check('mounted' in world.run(os.environ['VAULTFS'], station, mnt, expect=1).stderr, 'no second one beside it')
    for _ in range(100):
        if not world.daemons():
            break
        time.sleep(0.05)
    check(not world.daemons(), 'and goes with the last file')
    world.mounts.clear()
    world.keytool('audit', 'verify', '--enrol', enrol, station / 'log')


def places():
    """Started with standard descriptors closed; mounted where it would hide its own station or socket; at mount points with odd names."""
    world, station, enrol = set_up(None, records=3)
    mnt = world.dir / 'mnt'
    mnt.mkdir()
    for closed in ('<&-', '>&-', '2>&-', '<&- >&-', '>&- 2>&-', '<&- >&- 2>&-'):
        p = subprocess.run(['sh', '-c', f'exec "$0" "$1" "$2" {closed}', os.environ['VAULTFS'], str(station), str(mnt)],
                           stderr=subprocess.PIPE, timeout=30)
        check(p.returncode == 0 and os.path.ismount(mnt), f'starts with {closed}')
        world.mounts.append((mnt, None))
        if os.geteuid() == 0:
            pid = world.pid_of(mnt)
            check(all(os.readlink(f'/proc/{pid}/fd/{i}') == '/dev/null' for i in range(3)), 'standard descriptors are nobody\'s files')
        world.unmount(mnt)
        ref = world.truth[0]['ref']
        p = subprocess.run(['sh', '-c', f'exec "$0" record set --ref {ref} rank=Sergeant --key "$1" "$2" {closed}', os.environ['KEYTOOL'],
                            str(world.key('alice')), str(world.vault)], capture_output=True, timeout=30)
        check(p.returncode == 0, f'keytool works with {closed}')
    world.keytool('vault', 'check', '--key', world.key('alice'), world.vault)
    world.keytool('audit', 'verify', '--enrol', enrol, station / 'log')
    runtime = world.dir / 'runtime'
    runtime.mkdir(mode=0o700)
    for where in (station, station / 'log', station / 'db', station.parent, pathlib.Path('/'), runtime):
        p = subprocess.run([os.environ['VAULTFS'], str(station), str(where)], capture_output=True, text=True, timeout=30,
                           env={**os.environ, 'XDG_RUNTIME_DIR': str(runtime)})
        check(p.returncode == 1 and 'choose' in p.stderr, f'{where} is refused: {p.returncode} {p.stderr}')
        check(not world.daemons(), 'and nothing hangs')
    for name in ('a,b', 'q"uote', "ap'os", 'sp ace', 'n\u00e9', 'new\nline', 'back\\slash', '=x', 'a' * 200, '%s%n', '$(id)', '\u202egpj'):
        where = world.dir / 'odd' / name
        where.mkdir(parents=True)
        world.mount(station, where=where)
        with open(where / 'cards/cards.csv', newline='') as f:
            rows = list(csv.DictReader(f))
        check(len(rows) == 3 and all(os.path.exists(r['photo_path']) for r in rows), f'photo_path below {name!r}')
        check(os.stat(where / 'cards/cards.csv').st_size == len(read(where / 'cards/cards.csv')), 'the size is right')
        check(json.loads(world.run(os.environ['VAULTFS'], 'status', '--json', where).stdout)['mountpoint'] == str(where), 'status finds it')
        world.unmount(where)


def programs():
    """Programs with names that could break a line of the log."""
    world, station, enrol = set_up(None, records=3)
    mnt = world.mount(station)
    photo = str(sorted((mnt / 'cards/photos').iterdir())[0])
    odd = (b'q"uo\\te', b'new\nline', b'\xff\xfe\xfd', b'\x01\x02', '\u202e\u2028\u2029\u200f\u061c\u2067\u0085\x7f'.encode(), b'x' * 190 + '\u00e9'.encode() * 25, b'a' * 247,
           b'","result":"ok","nonce":"')
    for i, name in enumerate(odd):
        folder = os.path.join(os.fsencode(world.dir), b'd%d' % i)
        os.mkdir(folder)
        program = shutil.copy(b'/bin/cat', os.path.join(folder, name))
        check(subprocess.run([program, photo], stdout=subprocess.DEVNULL).returncode == 0, f'{name!r} reads')
    world.unmount(mnt)
    opened = [e for e in entries(station / 'log') if e['event'] == 'open' and '/d' in e['exe']]
    check(len(opened) == len(odd), f'each has its entry: {len(opened)}')
    reader.Log.folder(station / 'log')  # the second reader finds each written in the one way
    check(opened[0]['exe'].endswith('q"uo\\te') and opened[1]['exe'].endswith('new\nline'), 'with its name')
    world.keytool('audit', 'verify', '--enrol', enrol, station / 'log')


def race():
    """Many mounts of one station at once: one serves, the others say so, no mount point is left over."""
    world, station, enrol = set_up(None, records=4)
    for _ in range(3):
        folders = [pathlib.Path(tempfile.mkdtemp(dir=world.dir)) for _ in range(6)]
        started = [subprocess.Popen([os.environ['VAULTFS'], str(station), str(f)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                   for f in folders]
        out = [p.communicate(timeout=60) for p in started]
        won = [f for p, f in zip(started, folders) if p.returncode == 0]
        check(len(won) == 1, f'one of them mounts: {[p.returncode for p in started]}')
        check([f for f in folders if os.path.ismount(f)] == won, 'and only that one is mounted')
        check(all(str(won[0]) in err or 'another program' in err for p, (_, err) in zip(started, out) if p.returncode), f'others say why: {out}')
        read(sorted((won[0] / 'cards/photos').iterdir())[0])
        world.mounts.append((won[0], None))
        world.unmount(won[0])
    world.keytool('audit', 'verify', '--enrol', enrol, station / 'log')


def control():
    """Nonsense on the control socket: the daemon answers or hangs up, and keeps no descriptor."""
    world, station, _ = set_up(None, records=4)
    mnt = world.mount(station)
    where = json.loads((station / 'mounted').read_text())
    fds = pathlib.Path(f'/proc/{where["pid"]}/fd')
    before = len(list(fds.iterdir())) if os.geteuid() == 0 else 0

    def send(data, descriptors=()):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(15)
            s.connect(where['socket'])
            try:
                socket.send_fds(s, [data], list(descriptors)) if descriptors else s.send(data)
                while True:
                    if not s.recv(65536):
                        break
            except OSError:
                pass

    null = os.open('/dev/null', os.O_RDONLY)
    pipe = os.pipe()
    huge = tempfile.TemporaryFile()
    os.ftruncate(huge.fileno(), 1 << 40)
    half = b'Q{"v":1,"do":"receive","names":'
    for data in (b'', b'Q', b'Q{', b'Q[]', b'Qnull', b'Q{"v":1}', b'Q{"v":2,"do":"status"}', b'Q{"v":1,"do":"status","do":"seal"}', b'X' * 50000,
                 b'Q' + b'[' * 50000, b'Q{"v":1,"do":7}', half + b'[]}', half + b'["a"]}', half + b'["a","b"]}', half + b'[7]}',
                 half + b'["' + b'a' * 40000 + b'"]}', b'Q\xff\xfe', b'Q{"v":1,"do":"receive"}', b'Q{"v":1,"do":"\x00"}'):
        send(data)
        send(data, [null])
        send(data, [null, pipe[0], huge.fileno(), null])
        send(data, [null] * 32)
        send(data, [null] * 33)
    check(len(json.loads(world.run(os.environ['VAULTFS'], 'status', '--json', mnt).stdout)['jobs']) == 1, 'it still answers')
    if os.geteuid() == 0:
        # The daemon's own work (a sweep, a saved clock) has descriptors for a moment, before as well as after.
        end = time.time() + 3
        while len(list(fds.iterdir())) > before and time.time() < end:
            time.sleep(0.1)
        check(len(list(fds.iterdir())) <= before, f'descriptors: {before} before, {len(list(fds.iterdir()))} after')
    user = unprivileged_user()
    if user:
        code = f'import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect({where["socket"]!r})'
        check(as_user(world, user, '-c', code, expect=None).returncode != 0, 'another user cannot reach the socket')
    world.unmount(mnt)


memory()
core_dump()
names()
crowds()
tables()
leaving_busy()
places()
programs()
race()
control()
print('the daemon keeps to itself')
