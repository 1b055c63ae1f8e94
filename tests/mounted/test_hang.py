# SPDX-License-Identifier: MIT
"""A file that hangs (here: of a mount whose daemon is stopped) is handed to a running mount: it says no, goes on answering, and ends when
it is told to. File names that steer terminals; a folder in /tmp that somebody else made first."""
import array
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

from world import World, check, read

world = World(records=4)
run = world.dir / 'run'
run.mkdir(mode=0o700)
os.environ['XDG_RUNTIME_DIR'] = str(run)
one, enrol_one = world.station('one')
world.deliver(one, enrol_one, job='one')
two, enrol_two = world.station('two')
grant, _ = world.deliver(two, enrol_two, job='two')

first = world.mount(one)
before = set((run / 'vaultfs').iterdir())
second = world.mount(two)
sock = next(p for p in set((run / 'vaultfs').iterdir()) - before if p.suffix != '.json')
stopped, pid = world.pid_of(first), world.pid_of(second)
read(first / 'one/GRANT.txt')  # the kernel learns that this daemon needs no flush: else closing it hangs in this very script
fd = os.open(first / 'one/GRANT.txt', os.O_RDONLY)
os.kill(stopped, signal.SIGSTOP)
try:
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(5)
    s.connect(str(sock))
    s.sendmsg([b'Q' + json.dumps({'v': 1, 'do': 'receive', 'names': ['x']}).encode()],
              [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [fd]))])
    answer = s.recv(65536)
    check(b'not on the disk' in answer, f'a file that hangs is refused at once: {answer}')
    s.close()
    world.run(os.environ['VAULTFS'], 'status', second, timeout=5)
    check(len(read(next((second / 'two/photos').iterdir()))) > 0, 'photos open')
    os.kill(pid, signal.SIGTERM)
    end = time.time() + 5
    while os.path.exists(f'/proc/{pid}') and time.time() < end:
        time.sleep(.05)
    check(not os.path.exists(f'/proc/{pid}'), 'and it ends when it is told to')
finally:
    os.kill(stopped, signal.SIGCONT)
os.close(fd)
world.mounts = [m for m in world.mounts if m[0] != second]
world.unmount(first)

# Names of files, on terminals.
world.mount(two, where=second)
for mounted in (True, False):
    bad = world.dir / 'a\x1b[2Jb\u202e\nc.grant'
    shutil.copy(grant, bad)
    p = world.keytool('station', 'receive', two, bad, world.policy)
    check(not any(c in p.stdout + p.stderr for c in '\x1b\u202e') and 'a?[2Jb??c.grant: ' in p.stdout, f'a name is one line: {p.stdout!r}')
    bad.write_bytes(b'junk')
    p = world.keytool('station', 'receive', two, bad, world.policy, expect=None)
    check(not any(c in p.stdout + p.stderr for c in '\x1b\u202e') and p.returncode != 0, f'of a refused one too: {p.stderr!r}')
    listed = json.loads(world.keytool('station', 'receive', '--json', two, world.policy).stdout)
    check(listed[0]['file'] == str(world.policy), 'for a program it is the name')
    if mounted:
        world.unmount(second)

# Somebody else was first in /tmp. A user without a log-in session has no other place.
user = 61777
evil = pathlib.Path(f'/tmp/vaultfs-{user}')
if os.geteuid() == 0 and not evil.exists() and not os.path.exists(f'/run/user/{user}'):
    def as_user(*args, **env):
        kept = {k: v for k, v in os.environ.items() if k != 'XDG_RUNTIME_DIR'}
        return subprocess.run(['setpriv', '--reuid', str(user), '--regid', str(user), '--clear-groups', *map(str, args)],
                              env={**kept, **env}, capture_output=True, text=True, timeout=60)
    subprocess.run(['chown', '-R', f'{user}:{user}', two, second], check=True)
    evil.mkdir(mode=0o755)
    try:
        os.chown(evil, 65534, 65534)
        p = as_user(os.environ['VAULTFS'], two, second)
        check(p.returncode != 0 and 'set XDG_RUNTIME_DIR' in p.stderr, f'the mount says what to do: {p.stderr}')
        p = as_user(os.environ['VAULTFS'], 'status', '--all')
        check(p.returncode != 0 and 'belongs to somebody else' in p.stderr, f'status does not say that nothing is mounted: {p.stdout}{p.stderr}')
    finally:
        evil.rmdir()
print('nothing that a client hands over holds the mount up')
