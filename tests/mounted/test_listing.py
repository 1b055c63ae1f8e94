#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Listings that the kernel keeps: a folder listed once is listed again without asking the daemon, which is stopped meanwhile to show it. Nothing of a job's
contents is listed after its end, a revocation, while the clock is wrong, or when the daemon has left, whoever holds the folder open or stands in it and
whatever was listed before; nothing that came later is missing. The same against a daemon that tells the kernel nothing shows that this test would see it;
and against one that answers OPENDIR, for kernels that know no better."""
import atexit
import ctypes
import errno
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time

from clockfile import Clock
from world import EKEYEXPIRED, EKEYREJECTED, EKEYREVOKED, World, check, entries, errno_of, read

libc = ctypes.CDLL(None, use_errno=True)
world = World(records=40)
clock = Clock(world.dir / 'clock')
FAKE = {'exe': 'VAULTFS_CLOCK', 'env': {'VAULTFS_TEST_CLOCK': str(clock.path)}}
REFS = sorted(t['ref'] for t in world.truth)
ALL = ['GRANT.txt', 'cards-excel.csv', 'cards.csv', 'photos', 'records', 'signatures']
HERE_IS = 'import os, sys\nos.chdir(sys.argv[1])\nprint("in", flush=True)\nfor _ in sys.stdin:\n try:\n  print(len(os.listdir(".")), flush=True)\n' \
          ' except OSError as e:\n  print(-e.errno, flush=True)\n'


def wait_for(what, condition, seconds=5):
    end = time.time() + seconds
    while not condition():
        check(time.time() < end, what)
        time.sleep(0.02)


def deliver(station, enrol, job='cards', name=None, **kw):
    return world.deliver(station, enrol, job=job, out=world.dir / f'{station.parent.name}-{name or job}.grant', **kw)


def grant_id(grant):
    return json.loads(world.keytool('grant', 'show', '--json', grant).stdout)['id']


def revoke(station, grant):
    out = grant.with_suffix('.revoked')
    world.keytool('grant', 'revoke', '--reason', 'burgled', '--key', world.key('alice'), '-o', out, grant_id(grant), world.vault)
    world.receive(station, out)


def getdents(fd, size):
    """One call: names and where each ends."""
    buffer = ctypes.create_string_buffer(size)
    n = libc.getdents64(fd, buffer, size)
    if n < 0:
        raise OSError(ctypes.get_errno(), 'getdents64')
    out, at = [], 0
    while at < n:
        _, offset, length = struct.unpack_from('=QqH', buffer.raw, at)
        out.append((buffer.raw[at + 19:at + length].split(b'\0')[0].decode(), offset))
        at += length
    return out


def slowly(fd, size=200):
    """All names, a few at a time, from the beginning."""
    os.lseek(fd, 0, os.SEEK_SET)
    out = []
    while more := getdents(fd, size):
        out += more
    os.lseek(fd, 0, os.SEEK_SET)
    return sorted(n for n, _ in out if n not in ('.', '..'))


def names_in(folder):
    """Without the markers, which with --job lie in the job's folder."""
    return sorted(n for n in os.listdir(folder) if not n.startswith('.'))


class Stands:
    """A process that stands in a folder."""

    def __init__(self, folder):
        self.process = subprocess.Popen([sys.executable, '-c', HERE_IS, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        check(self.process.stdout.readline() == 'in\n', 'it stands there')

    def lists(self):
        """How many names, or minus the errno."""
        self.process.stdin.write('\n')
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def goes(self):
        self.process.stdin.close()
        self.process.wait()


class Held:
    """A job's folders, each listed wholly: held open, and stood in."""

    def __init__(self, top, refs=None):
        self.top, self.refs = top, refs or REFS
        self.folders = [top / 'photos', top / 'signatures', top / 'records', *(top / 'records' / r for r in self.refs[:20])]
        self.fds = [os.open(f, os.O_RDONLY | os.O_DIRECTORY) for f in self.folders]
        self.names = [sorted(os.listdir(fd)) for fd in self.fds]
        self.top_fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
        self.stands = [Stands(top / 'photos'), Stands(top / 'records' / self.refs[0])]
        check(len(self.names[2]) == len(self.refs) and len(self.names[3]) > 3, 'they have names')
        self.listed('at first')

    def listed(self, what):
        for fd, folder, names in zip(self.fds, self.folders, self.names):
            check(sorted(os.listdir(folder)) == names and sorted(os.listdir(fd)) == names and slowly(fd) == names, f'{what}: {folder}')
        check([s.lists() for s in self.stands] == [len(self.names[0]), len(self.names[3])], f'{what}: by who stands in it')

    def refusals(self):
        """What each way of listing them gives."""
        ways = [lambda f=f: os.listdir(f) for f in self.folders + self.fds]
        ways += [lambda f=f: slowly(f) for f in self.fds]  # asks for no attributes by itself, as os.listdir does
        return {errno_of(w) for w in ways} | {max(0, -s.lists()) for s in self.stands}

    def refused(self, what, wanted, seconds=1.5):
        wait_for(f'{what}: seen in time', lambda: errno_of(lambda: os.listdir(self.fds[0])) == wanted, seconds)
        # The record folders are told of behind; then none is left out, and stays so.
        wait_for(f'{what}: all are refused', lambda: self.refusals() == {wanted}, seconds)
        for _ in range(3):
            check(self.refusals() == {wanted}, f'{what}: {self.refusals()} instead of {wanted}')
            check(names_in(self.top) == names_in(self.top_fd) == ['GRANT.txt'], f'{what}: GRANT.txt is all there is')
        check(len(read(self.top / 'GRANT.txt')) > 100, 'and it can be read')

    def close(self):
        for fd in self.fds + [self.top_fd]:
            os.close(fd)
        for s in self.stands:
            s.goes()


def stopped(pid, action, seconds=10):
    """Run while the daemon is stopped: False when it waits for it."""
    os.kill(pid, signal.SIGSTOP)
    child = os.fork()
    if child == 0:
        try:
            action()
            os._exit(0)
        except BaseException:
            os._exit(1)
    done, end = 0, time.time() + seconds
    while not done and time.time() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    os.kill(pid, signal.SIGCONT)
    if not done:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return bool(done) and status == 0


def denied(station, result):
    return [e for e in entries(station / 'log', torn=True) if e['event'] == 'deny' and e['result'] == result]


def end_and_renewal():
    station, enrol = world.station('ends')
    grant, _ = deliver(station, enrol, until='+1h')
    mnt = world.mount(station, **FAKE)
    pid = world.pid_of(mnt)
    held = Held(mnt / 'cards')
    check(stopped(pid, lambda: held.listed('while the daemon is stopped')), 'what was listed is listed again without the daemon')
    clock.passes(2 * 3600)
    held.refused('the end', EKEYEXPIRED)
    wait_for('a refusal is told', lambda: denied(station, 'EKEYEXPIRED'))
    later = world.dir / 'renewed.grant'
    world.keytool('grant', 'renew', '--until', '+9h', '--no-handin', '--key', world.key('alice'), '-o', later, grant_id(grant), world.vault)
    world.receive(station, later)
    wait_for('renewed', lambda: errno_of(lambda: os.listdir(held.fds[0])) == 0)
    wait_for('all names', lambda: sorted(os.listdir(held.top)) == ALL)
    held.listed('renewed')
    check(stopped(pid, lambda: held.listed('renewed, and stopped')), 'and kept again')
    # A wrong clock is no end: it can be right again. (Time is sure after ten quiet minutes.)
    clock.passes(11 * 60)
    time.sleep(1.5)
    held.listed('eleven minutes on')
    clock.steps(-3600)
    held.refused('the clock set back', EKEYREJECTED)
    clock.steps(3600)
    wait_for('right again', lambda: errno_of(lambda: os.listdir(held.fds[0])) == 0 and sorted(os.listdir(held.top)) == ALL)
    held.listed('right again')
    revoke(station, later)
    held.refused('revoked', EKEYREVOKED, 5)
    held.close()
    world.unmount(mnt)
    clock.passes(-2 * 3600 - 11 * 60)


def what_comes():
    """A start, new jobs, one that takes another's name, values that arrive: seen by who listed just before."""
    station, enrol = world.station('comes')
    mnt = world.mount(station, **FAKE)
    root = os.open(mnt, os.O_RDONLY | os.O_DIRECTORY)

    def jobs():
        names = set(names_in(mnt))
        return names if names == {n for n in slowly(root) if not n.startswith('.')} else None

    check(jobs() == set(), 'no job')
    deliver(station, enrol, job='later', until='+9h', extra=('--from', '+2h'))
    wait_for('a new job', lambda: jobs() == {'later'})
    folder = os.open(mnt / 'later', os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(3):
        check(os.listdir(folder) == ['GRANT.txt'] and os.listdir(mnt / 'later') == ['GRANT.txt'], 'not begun')
    clock.passes(2 * 3600 + 60)
    wait_for('it has begun', lambda: sorted(os.listdir(folder)) == ALL == sorted(os.listdir(mnt / 'later')), 1.5)
    os.close(folder)

    grant, _ = deliver(station, enrol, until='+9h')
    wait_for('a second job', lambda: jobs() == {'later', 'cards'})

    # Another delivery takes the name of one that has ended.
    old = os.open(mnt / 'cards/records', os.O_RDONLY | os.O_DIRECTORY)
    check(len(os.listdir(old)) == len(REFS), 'all records')
    revoke(station, grant)
    wait_for('the revocation', lambda: errno_of(lambda: os.listdir(old)) == EKEYREVOKED and os.listdir(mnt / 'cards') == ['GRANT.txt'])
    few = world.dir / 'few'
    few.write_text('\n'.join(REFS[:3]) + '\n')
    deliver(station, enrol, until='+9h', records=('--list', few), name='few')
    wait_for('another delivery', lambda: sorted(os.listdir(mnt / 'cards')) == ALL and sorted(os.listdir(mnt / 'cards/records')) == REFS[:3])
    check(jobs() == {'later', 'cards'}, 'one folder has the name')
    check(errno_of(lambda: os.listdir(old)) == EKEYREVOKED, 'who is in the old one stays there')
    os.close(old)
    os.close(root)
    world.unmount(mnt)
    clock.passes(-2 * 3600 - 60)


def values_later():
    """The grant first, its values in two deliveries: photos that are not here yet are not listed."""
    station, enrol = world.station('values')
    few = world.dir / 'first'
    few.write_text('\n'.join(REFS[::2]) + '\n')
    part = world.grant(enrol, job='part', records=('--list', few), out=world.dir / 'values-part.grant')
    whole = world.grant(enrol, job='whole', out=world.dir / 'values-whole.grant')
    some, rest = world.bundle(part), world.bundle(whole)
    world.receive(station, whole)
    mnt = world.mount(station)
    photos = [os.open(mnt / 'whole' / d, os.O_RDONLY | os.O_DIRECTORY) for d in ('photos', 'signatures')]
    half = os.open(mnt / 'whole/photos', os.O_RDONLY | os.O_DIRECTORY)

    def there():
        return [slowly(photos[0]), sorted(os.listdir(mnt / 'whole/photos'))]

    check(there() == [[], []] and not os.listdir(photos[1]), 'nothing is here')
    world.receive(station, part, some)
    wait_for('a half', lambda: there() == [[f'{r}.JPG' for r in REFS[::2]]] * 2)
    check(getdents(half, 120), 'one begins, and stops')
    table = os.open(mnt / 'whole/cards.csv', os.O_RDONLY)
    check(os.pread(table, 1 << 20, 0).count(b'\n') == 1 + len(REFS) // 2, 'the rows that are here')
    world.receive(station, rest)
    wait_for('all', lambda: there() == [[f'{r}.JPG' for r in REFS]] * 2)
    # The table grew while it was open: who reads on in it keeps nobody from the new one.
    check(errno_of(lambda: os.pread(table, 100, 0)) == errno.ESTALE, 'rows at their old places are not given any more')
    rows = read(mnt / 'whole/cards.csv')
    check(rows.count(b'\n') == 1 + len(REFS) and len(rows) == (mnt / 'whole/cards.csv').stat().st_size, 'all rows, for who opens it now')
    os.close(table)
    while getdents(half, 120):
        pass
    check(there() == [[f'{r}.JPG' for r in REFS]] * 2, 'and what began under the half leaves nothing behind')
    for fd in photos + [half]:
        os.close(fd)
    world.unmount(mnt)


def several():
    """Many at once, in many requests, with seeking: each sees each name once."""
    station, enrol = world.station('several')
    deliver(station, enrol, until='+1h')
    mnt = world.mount(station)
    wanted, wrong, folder = [f'{r}.JPG' for r in REFS], [], mnt / 'cards/photos'

    def one(size):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        for _ in range(10):
            if slowly(fd, size) != wanted:
                wrong.append(size)
        os.close(fd)

    threads = [threading.Thread(target=one, args=(size,)) for size in (80, 200, 600, 5000)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check(not wrong, f'a listing lacks or repeats names, with room for {wrong} bytes')
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    first = getdents(fd, 400)
    rest = getdents(fd, 65536)
    os.lseek(fd, first[-1][1], os.SEEK_SET)
    check(getdents(fd, 65536) == rest and sorted(n for n, _ in first + rest if n[0] != '.') == wanted, 'a position means the same again')
    os.close(fd)
    world.unmount(mnt)


def leaving():
    """Told to go while folders are held: nothing is listed from what is left, the root's names neither."""
    station, enrol = world.station('leaves')
    deliver(station, enrol, until='+1h')
    mnt = world.mount(station)
    held = Held(mnt / 'cards')
    root = os.open(mnt, os.O_RDONLY | os.O_DIRECTORY)
    check('cards' in os.listdir(root), 'the root lists')
    pid = world.pid_of(mnt)
    half = os.open(held.folders[2], os.O_RDONLY | os.O_DIRECTORY)
    check(getdents(half, 200), 'in the middle of a listing')
    os.kill(pid, signal.SIGTERM)
    wait_for('it has gone', lambda: pid not in world.daemons(), 10)
    check(0 not in held.refusals(), 'nothing is listed of a mount that has gone')
    for fd in (root, held.top_fd):
        check(errno_of(lambda f=fd: os.listdir(f)) and errno_of(lambda f=fd: slowly(f)), 'nor are its root and its jobs')
    check(errno_of(lambda: getdents(half, 65536)), 'nor is the rest of what was begun')
    os.close(half)
    os.close(root)
    held.close()
    world.mounts = [(m, u) for m, u in world.mounts if m != mnt]


def killed(until, mnt, fd, behind_first, photo):
    """It could tell the kernel nothing: what it has is over by itself."""
    time.sleep(max(0, until + 1 - time.time()))
    for folder in (fd, mnt / 'short/records', mnt / 'short/records' / REFS[0]):
        check(errno_of(lambda f=folder: os.listdir(f)), f'{folder}: listed after the end from a mount that was killed before')
    check(errno_of(lambda: slowly(fd)), 'nor is it by who holds it open')
    check(errno_of(lambda: os.pread(photo, 10, 0)), 'nor is a file read that is held open')
    # What no promise is made of (docs/threat-model.md): the kernel looks neither when a listing goes on nor when it copies by itself.
    os.lseek(fd, behind_first, os.SEEK_SET)
    out, into = os.pipe()
    if errno_of(lambda: getdents(fd, 65536)) or errno_of(lambda: os.splice(photo, into, 10, 0)):
        print('this kernel asks there too: docs/threat-model.md, "One that is killed or stopped", can promise more')
    for f in (fd, photo, out, into):
        os.close(f)


def kill_one():
    station, enrol = world.station('killed')
    until = int(time.time()) + 6
    deliver(station, enrol, job='short', until=time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(until)))
    mnt = world.mount(station)
    os.system(f'ls -lR {mnt} > /dev/null')
    fd = os.open(mnt / 'short/records', os.O_RDONLY | os.O_DIRECTORY)
    check(len(os.listdir(fd)) == len(REFS) and time.time() < until - 1, 'set up in time')
    first = getdents(fd, 60)[0]
    photo = os.open(mnt / 'short/photos' / f'{REFS[0]}.JPG', os.O_RDONLY)
    check(os.pread(photo, 10, 0), 'a photo is read')
    os.kill(world.pid_of(mnt), signal.SIGKILL)
    return until, mnt, fd, first[1], photo


def held_up():
    """A program that keeps a folder in the middle of a listing, for ever: other ends do not wait for it, nor does leaving."""
    station, enrol = world.station('held')
    one, _ = deliver(station, enrol, job='one', until='+1h')
    two, _ = deliver(station, enrol, job='two', until='+1h', fields='photo,rank')
    mnt = world.mount(station)
    names = [sorted(os.listdir(mnt / job / 'photos')) for job in ('one', 'two')]
    holders = [subprocess.Popen([os.environ['HOLD'], folder], stdout=subprocess.PIPE, text=True) for folder in (mnt / 'one/photos', mnt / 'one', mnt)]
    atexit.register(lambda: [h.kill() for h in holders])
    if any(h.stdout.readline() != 'held\n' for h in holders):
        print('what a program holds up is not tested: this user may not use userfaultfd for the kernel')
        return
    time.sleep(0.2)
    files = [os.open(mnt / job / 'photos' / n[0], os.O_RDONLY) for job, n in zip(('one', 'two'), names)]
    revoke(station, one)
    wait_for('the first ends', lambda: errno_of(lambda: os.pread(files[0], 10, 0)) == EKEYREVOKED)
    folder = os.open(mnt / 'two/photos', os.O_RDONLY | os.O_DIRECTORY)
    check(sorted(os.listdir(folder)) == names[1], 'the second goes on')
    revoke(station, two)
    wait_for('the second ends', lambda: errno_of(lambda: os.pread(files[1], 10, 0)) == EKEYREVOKED)
    wait_for('its listing too', lambda: errno_of(lambda: os.listdir(folder)) == EKEYREVOKED)
    wait_for('both are told', lambda: sum(e['event'] == 'revoke' for e in entries(station / 'log', torn=True)) == 2)
    for job in ('three', 'four'):
        for _ in range(2):
            os.listdir(mnt)  # now the kernel has it, and nobody drops it
        deliver(station, enrol, job=job, until='+1h')
        wait_for('what comes is seen', lambda j=job: j in os.listdir(mnt))
    for fd in [folder] + files:
        os.close(fd)
    other = os.open(mnt / 'three', os.O_RDONLY | os.O_DIRECTORY)
    os.kill(world.pid_of(mnt), signal.SIGTERM)
    wait_for('it leaves', lambda: not os.path.ismount(mnt) and any(e['event'] == 'unmount' for e in entries(station / 'log', torn=True)), 15)
    check(errno_of(lambda: os.stat('photos', dir_fd=other)), 'who has something open there is answered')
    os.close(other)
    for h in holders:
        h.kill()
        h.wait()
    world.mounts = [(m, u) for m, u in world.mounts if m != mnt]
    wait_for('and is over', lambda: not world.daemons())
    # A station that such a program was at can be mounted again.
    world.unmount(world.mount(station))


def one_job():
    """The job's folder is the root."""
    station, enrol = world.station('single')
    grant, _ = deliver(station, enrol)
    mnt = world.mount(station, options=('--job', 'cards'))
    held = Held(mnt)
    check(names_in(mnt) == names_in(held.top_fd) == ALL, 'all is there')
    revoke(station, grant)
    held.refused('revoked', EKEYREVOKED, 5)
    held.close()
    # Revoked by the force, but the station does not know it yet: another delivery takes the job's name.
    grant, _ = deliver(station, enrol, name='again')
    wait_for('delivered again', lambda: names_in(mnt) == ALL and names_in(mnt / 'records') == REFS)
    world.keytool('grant', 'revoke', '--reason', 'moved', '--key', world.key('alice'), '-o', world.dir / 'kept.revoked', grant_id(grant), world.vault)
    few = world.dir / 'fewer'
    few.write_text('\n'.join(REFS[:3]) + '\n')
    deliver(station, enrol, until='+2h', records=('--list', few), name='fewer')  # of two that can be used, the later end is shown
    wait_for('another delivery', lambda: names_in(mnt / 'records') == REFS[:3])
    check(names_in(mnt) == ALL, 'all is there')
    world.unmount(mnt)


def older_kernel():
    station, enrol = world.station('older')
    grant, _ = deliver(station, enrol, until='+1h')
    mnt = world.mount(station, exe='VAULTFS_OPENDIR')
    held = Held(mnt / 'cards')
    check(not stopped(world.pid_of(mnt), lambda: os.listdir(held.fds[0]), 0.5), 'a listing asks the daemon')
    revoke(station, grant)
    held.refused('revoked', EKEYREVOKED, 5)
    check(errno_of(lambda: os.open('.', os.O_RDONLY, dir_fd=held.fds[0])) == EKEYREVOKED, 'such a folder does not open')
    wait_for('a refusal is told', lambda: denied(station, 'EKEYREVOKED'))
    held.close()
    world.unmount(mnt)


def control():
    """Told nothing, the kernel goes on listing."""
    station, enrol = world.station('stale')
    grant, _ = deliver(station, enrol, until='+1h')
    mnt = world.mount(station, exe='VAULTFS_STALE')
    held = Held(mnt / 'cards')
    revoke(station, grant)
    wait_for('the revocation', lambda: any(e['event'] == 'revoke' for e in entries(station / 'log', torn=True)))
    check(held.refusals() == {0}, f'a daemon that drops no listing is seen through: {held.refusals()}')
    held.close()
    world.unmount(mnt)


def main():
    ends_later = kill_one()
    end_and_renewal()
    what_comes()
    values_later()
    several()
    leaving()
    one_job()
    older_kernel()
    control()
    killed(*ends_later)
    held_up()
    print('what the kernel keeps of listings is bounded')


main()
