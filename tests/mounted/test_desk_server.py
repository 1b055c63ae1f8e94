#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The desk's server against its clients: slow, huge, many, malformed, replayed and unauthenticated ones while stations are served; what it is asked beside
that; how it starts and stops. Raw sockets, a real server, and stations that ask as a mount does (tests/support/desk_load.c)."""
import fcntl
import json
import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

from desk import DeskWorld
from world import check

KEYTOOL = os.environ['KEYTOOL']
LONG = sys.argv[1:] == ['long'] # with what takes its time: those who do not keep pace
LATENCY_MS = 2500 # of a release beside hostile clients: on a loaded machine, under a sanitizer; half of what an open waits


class Raw:
    """A connection of our own."""

    def __init__(self, d, timeout=30):
        self.s = socket.socket(socket.AF_INET if d.http else socket.AF_UNIX)
        self.s.settimeout(timeout)
        host, port = d.listen.rsplit(':', 1)
        self.s.connect((host, int(port)))

    def send(self, data):
        self.s.sendall(data)
        return self

    def answer(self):
        """Status and body, once the server has closed or the body is whole; 0 when it closed without a word."""
        data = b''
        try:
            while True:
                head, sep, body = data.partition(b'\r\n\r\n')
                length = [int(line[15:]) for line in head.lower().split(b'\r\n') if line.startswith(b'content-length:')] if sep else []
                if length and len(body) >= length[0]:
                    break
                more = self.s.recv(65536)
                if not more:
                    break
                data += more
        except (ConnectionResetError, BrokenPipeError):
            pass
        head, _, body = data.partition(b'\r\n\r\n')
        return int(head.split()[1]) if head else 0, body, head

    def close(self):
        self.s.close()


def post(length, path='/v1/release', extra=''):
    return f'POST {path} HTTP/1.1\r\nHost: desk\r\nContent-Length: {length}\r\n{extra}\r\n'.encode()


def ask(d, data):
    r = Raw(d)
    try:
        return r.send(data).answer()
    finally:
        r.close()


def metric(d, name):
    text = d.http_get('/metrics').decode()
    return next(float(line.rsplit(' ', 1)[1]) for line in text.splitlines() if line.startswith(f'vaultfs_desk_{name} '))


def load(stations, rounds, part='image'):
    return subprocess.Popen([os.environ['DESK_LOAD'], part, str(rounds), *map(str, stations)], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, text=True)


def loaded(process, what):
    out = json.loads(process.communicate(timeout=120)[0])
    check(process.returncode == 0 and out['failures'] == 0 and out['releases'] > 0, f'{what}: stations are served: {out}')
    check(out['max_ms'] < LATENCY_MS, f'{what}: in time: {out}')
    return out


# ---------------------------------------------------------------------------------------------------------------- wrong ones

def test_wrong(d):
    for data, want in [
        (b'GET /v1/release HTTP/1.1\r\nHost: d\r\n\r\n', 405),
        (b'DELETE /v1/release HTTP/1.1\r\nHost: d\r\nContent-Length: 3\r\n\r\nabc', 405),
        (post(3, '/healthz') + b'abc', 405),
        (b'GET /nothing HTTP/1.1\r\nHost: d\r\n\r\n', 404),
        (b'GET /../control HTTP/1.1\r\nHost: d\r\n\r\n', 404),
        (post(5, '/receive?name=x') + b'abcde', 404), # of the control socket alone
        (post(0), 400),
        (post(32 * 1024 * 1024 + 1), 413),
        (post(10**19), 413),
        (b'POST /v1/release HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n', 411),
        (post(5) + b'abcde', 400),
        (post(400) + b'\0' * 400, 400),
        (b'GET /healthz HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\n\r\nabcde', 400),
        (b'GET /healthz HTTP/1.1\r\nHost: d\r\n\r\n', 200),
        (b'HEAD /healthz HTTP/1.1\r\nHost: d\r\n\r\n', 200),
    ]:
        status, body, head = ask(d, data)
        check(status == want, f'{data[:60]!r}: {status} instead of {want}')
        check(len(body) < 200 and b'vaultfs' not in body.lower() and b'/' not in body.replace(b'Content-Length', b''), f'{data[:60]!r} tells {body!r}')
        check(status != 405 or b'\r\nallow: ' in head.lower(), f'{data[:60]!r} says what is allowed')
    for junk in (b'\0' * 100 + b'\r\n\r\n', b'GET\r\n\r\n', b'POST /v1/release HTTP/9.9\r\n\r\n', b'G' * 70000, b'GET / HTTP/1.1\r\n' + b'X: ' + b'y' * 70000 + b'\r\n\r\n',
                 b'GET / HTTP/1.1\r\nHost: d\r\n' + b'A: b\r\n' * 20000 + b'\r\n', b'POST /v1/release HTTP/1.1\r\nHost: d\r\nContent-Length: -5\r\n\r\n',
                 b'POST /v1/release HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nabcdefg'):
        try:
            r = Raw(d).send(junk)
            r.s.shutdown(socket.SHUT_WR)
            status, _, _ = r.answer()
            r.close()
        except OSError: # it has hung up already
            status = 0
        check(status == 0 or 400 <= status <= 505, f'{junk[:40]!r}: {status}')
    check(d.answers(), 'after all that it answers')


# ------------------------------------------------------------------------------------------------------------ hostile ones

def replayed(d, request):
    """A whole request of a station, once more: it releases nothing."""
    before = metric(d, 'shares_total')
    status, body, _ = ask(d, post(len(request)) + request)
    check(status == 200 and len(body) > 0, f'a replayed request is answered to whoever has its key: {status}')
    check(metric(d, 'shares_total') == before, 'a replayed request gets no share')
    bad = bytearray(request)
    bad[len(bad) // 2] ^= 1
    check(ask(d, post(len(bad)) + bytes(bad))[0] == 400, 'one bit flipped is no request')


def replayed_on_and_on(d, request):
    """As often as whoever has recorded it likes: each is answered, and not each is told."""
    told = d.said().count(' event=answer ')
    for _ in range(140):
        check(ask(d, post(len(request)) + request)[0] == 200, 'a replayed request is answered')
    lines = d.said().count(' event=answer ') - told
    check(lines <= 100, f'{lines} lines of 140 replayed requests')


def test_hostile(d, stations, seconds):
    """Everything at once, and stations beside it."""
    stop = threading.Event()
    counts = {'slow': 0, 'junk': 0, 'big': 0, 'cut': 0}

    def slow(data):
        while not stop.is_set():
            try:
                r = Raw(d)
                for byte in data * 100:
                    r.send(bytes([byte]))
                    if stop.wait(0.3):
                        break
                r.close()
            except OSError:
                counts['slow'] += 1

    def junk():
        rng = random.Random(5)
        while not stop.is_set():
            try:
                n = rng.randrange(1, 20000)
                ask(d, post(n) + rng.randbytes(n))
                counts['junk'] += 1
            except OSError:
                pass

    def big():
        block = b'\0' * (1 << 20)
        while not stop.is_set():
            try:
                r = Raw(d).send(post(24 << 20))
                for _ in range(24):
                    r.send(block)
                counts['big'] += r.answer()[0] in (400, 503)
                r.close()
            except OSError:
                counts['big'] += 1

    def cut():
        while not stop.is_set():
            try:
                r = Raw(d).send(post(1000) + b'x' * 500)
                r.close()
                counts['cut'] += 1
            except OSError:
                pass
            stop.wait(0.002)

    # More connections than there are places: they say nothing at all.
    silent = []
    for _ in range(80):
        try:
            silent.append(Raw(d))
        except OSError:
            pass
    threads = [threading.Thread(target=t, args=a) for t, a in [(slow, (b'POST /v1/release',)), (slow, (post(5000),)), (junk, ()), (big, ()), (cut, ())]]
    for t in threads:
        t.start()
    time.sleep(0.5)
    good, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        good.append(loaded(load(stations, 12), 'beside hostile clients'))
    check(d.answers(), 'it says that it is well')
    stop.set()
    for t in threads:
        t.join(60)
    for r in silent:
        r.close()
    check(counts['junk'] > 20 and counts['cut'] > 20 and counts['big'] > 0, f'they were there: {counts}')
    return {'releases': sum(g['releases'] for g in good), 'p50_ms': sorted(g['p50_ms'] for g in good)[len(good) // 2],
            'max_ms': max(g['max_ms'] for g in good), **counts}


def test_slow_uploads(d, stations):
    """A dozen that announce as much as a request can have, and keep just the pace: those who do send theirs are heard, and stations are served."""
    stop = threading.Event()
    slow = [Raw(d).send(post(32 << 20) + b'x' * 70000) for _ in range(12)]

    def drip():
        while not stop.wait(1):
            for r in slow:
                try:
                    r.send(b'x' * 66000)
                except OSError: # it is cut off for the others
                    pass
    t = threading.Thread(target=drip, daemon=True)
    t.start()
    for _ in range(2):
        status, body, _ = ask(d, post(24 << 20) + b'\0' * (24 << 20))
        check(status == 400 and b'not a request' in body, f'a large one is read and judged beside twelve slow ones, not {status} {body!r}')
    loaded(load(stations, 4), 'beside slow uploads')
    held = metric(d, 'bytes_held')
    check(held < 12 * (2 << 20), f'what has arrived counts, not what was announced: {held}')
    stop.set()
    t.join()
    for r in slow:
        r.close()


class Pace(threading.Thread):
    """Who does not keep pace is cut off: before a header, in a body. Takes its time while other things are looked at."""

    def __init__(self, d):
        super().__init__()
        self.began = time.monotonic()
        self.raws = [Raw(d), Raw(d).send(b'POST /v1/re'), Raw(d).send(post(100000) + b'x'), Raw(d).send(post(100000) + b'x' * 99000)]
        self.got = []
        self.start()

    def run(self):
        for r in self.raws:
            self.got.append((r.answer()[0], time.monotonic() - self.began))
            r.close()

    def see(self):
        self.join(60)
        check(len(self.got) == 4 and all(status in (0, 408) for status, _ in self.got), f'none is answered: {self.got}')
        check(all(8 < took < 25 for _, took in self.got), f'after ten seconds of grace: {self.got}')


def test_places(d):
    """--connections 40: who is silent longest goes for the next one, so that there is always a place."""
    held = []
    for _ in range(120):
        held.append(Raw(d))
        time.sleep(0.01)
    for _ in range(20):
        check(d.answers(), 'a hundred silent clients do not take the last place')
    check(metric(d, 'connections') <= 40 + 64, 'not more places than there are')
    check(metric(d, 'connections_cut_total') > 0, 'some were cut off')
    for r in held:
        r.close()


def test_per_address(d):
    """--per-address 6, which counts on loopback too when it is given."""
    held = []
    for _ in range(6):
        r = Raw(d)
        check(r.send(b'GET /healthz HTTP/1.1\r\nHost: d\r\n').s.fileno() >= 0, 'the first have their place')
        held.append(r)
    time.sleep(0.3)
    r = Raw(d)
    try:
        status = r.send(b'GET /healthz HTTP/1.1\r\nHost: d\r\n\r\n').answer()[0]
    except OSError:
        status = 0
    check(status == 0, f'one more of this address is refused, not {status}')
    for r in held:
        r.close()
    time.sleep(0.3)
    check(d.answers(), 'and when they have gone there is a place again')


# ------------------------------------------------------------------------------------------------------------ start and stop

def test_stop(d, station):
    """SIGTERM while requests are inside: they are answered, the store is closed, the socket files are gone."""
    r = Raw(d).send(post(200) + b'x' * 199)
    time.sleep(0.2)
    d.server.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    check(d.server.poll() is None, 'it waits for who is in the middle of a request')
    try:
        Raw(d, timeout=2)
        refused = False
    except OSError:
        refused = True
    check(refused, 'nobody new is let in')
    check(r.send(b'x').answer()[0] == 400, 'what was inside is answered')
    check(d.server.wait(timeout=20) == 0, 'it ends well')
    d.server = None
    check(not (d.store / 'control').exists(), 'the control socket is gone')
    check(d.said().rstrip().endswith('event=stopped'), 'it says so')
    verified = d.keytool('audit', 'verify', d.store / 'log')
    check(verified.returncode == 0, 'its log is whole')


def test_stuck_log(d, stations):
    """Nobody reads its log, and the pipe is full: it serves all the same, counts what is lost, and ends when it is told to."""
    r, w = os.pipe()
    fcntl.fcntl(w, 1031, 4096) # F_SETPIPE_SZ
    d.serve(stderr=w)
    os.close(w)
    for _ in range(2):
        loaded(load(stations, 30), 'with a log that nobody reads')
    check(ask(d, post(20) + b'x' * 20)[0] == 400, 'it answers')
    d.keytool('desk', 'status', d.store)
    check(d.stop() == 0, 'and it stops')
    said = os.read(r, 65536)
    os.close(r)
    check(b'event=serving' in said and b'event=stopped' not in said, f'it was stuck: {said!r}')


def test_second(d):
    p = d.keytool('desk', 'serve', '--key', d.desk_key, '--listen', '127.0.0.1:0', d.store, expect=1)
    check('another process serves this desk' in p.stderr, p.stderr)
    check((d.store / 'control').exists() and d.answers(), 'and the first goes on')


def test_unix(d):
    """A socket file: its mode; a stale one is replaced, one that answers is not, a file that is no socket neither."""
    path = d.dir / 's'
    listen, d.listen = d.listen, f'unix:{path}'
    http, d.http = d.http, False
    d.serve()
    check(path.stat().st_mode & 0o777 == 0o660, f'mode {path.stat().st_mode:o}')
    check((d.store / 'control').stat().st_mode & 0o777 == 0o600, 'the control socket is for us alone')
    d.stop(signal.SIGKILL)
    check(path.exists() and (d.store / 'control').exists(), 'killed, it leaves them')
    status = json.loads(d.keytool('desk', 'status', '--json', d.store).stdout)
    check(not status['served'], 'a socket that nobody answers on is no server')
    d.serve()
    check(d.stop() == 0 and not path.exists(), 'stale ones are replaced, and removed at the end')
    path.write_text('mine')
    p = d.keytool('desk', 'serve', '--key', d.desk_key, '--listen', d.listen, d.store, expect=1)
    check('is no socket' in p.stderr and path.read_text() == 'mine', p.stderr)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        p = d.keytool('desk', 'serve', '--key', d.desk_key, '--listen', d.listen, d.store, expect=1)
        check('another program listens there' in p.stderr, p.stderr)
    path.unlink()
    d.listen, d.http = listen, http


ACTIVATE = '''import os, sys
for i, fd in enumerate(map(int, sys.argv[1].split(','))):
    os.dup2(fd, 100 + i)
for i in range(len(sys.argv[1].split(','))):
    os.dup2(100 + i, 3 + i)
    os.close(100 + i)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(i + 1), LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.argv[3], sys.argv[3:])
'''


def test_systemd(d):
    """Sockets handed over, one of them for figures; readiness and the watchdog told."""
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(d.dir / 'notify'))
    notify.settimeout(20)
    a, b = socket.socket(), socket.socket()
    for s in (a, b):
        s.bind(('127.0.0.1', 0))
        s.listen(8)
    log = open(d.dir / 'server.log', 'ab')
    d.server = subprocess.Popen([sys.executable, '-c', ACTIVATE, f'{a.fileno()},{b.fileno()}', 'release:metrics', KEYTOOL, 'desk', 'serve', '--key',
                                 str(d.desk_key), str(d.store)], pass_fds=(a.fileno(), b.fileno()), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                env={**os.environ, 'NOTIFY_SOCKET': str(d.dir / 'notify'), 'WATCHDOG_USEC': '3000000'})
    told = notify.recv(4096).decode()
    check('READY=1' in told or 'WATCHDOG=1' in told, f'told {told!r}: {d.said()}')
    if 'READY=1' not in told:
        check('READY=1' in notify.recv(4096).decode(), 'readiness is told')
    check('WATCHDOG=1' in notify.recv(4096).decode(), 'the watchdog is fed')
    listen = d.listen
    d.listen = '127.0.0.1:%d' % b.getsockname()[1]
    check(b'vaultfs_desk_ready 1' in d.http_get('/metrics'), 'figures on the socket of that name')
    check(ask(d, post(5) + b'abcde')[0] == 404, 'and nothing else')
    d.listen = '127.0.0.1:%d' % a.getsockname()[1]
    check(d.answers() and ask(d, post(5) + b'abcde')[0] == 400, 'releases on the other')
    d.server.send_signal(signal.SIGTERM)
    check(d.server.wait(timeout=20) == 0, 'it ends well')
    d.server = None
    said = ''
    while 'STOPPING=1' not in said:
        said = notify.recv(4096).decode()
    with socket.create_connection(a.getsockname(), timeout=5):
        pass # systemd's socket is still there for the next start
    a.close()
    b.close()
    d.listen = listen
    p = d.keytool('desk', 'serve', '--key', d.desk_key, d.store, expect=2)
    check('--listen' in p.stderr, p.stderr)


def test_hygiene(d):
    """No core, not to be traced, its keys never in swap; a bounded number of threads."""
    status = dict(line.split(':\t', 1) for line in open(f'/proc/{d.server.pid}/status').read().splitlines() if ':\t' in line)
    check(int(status['VmLck'].split()[0]) >= 1024, f'memory for keys is locked: {status["VmLck"]}')
    check(int(status['Threads']) < 40, f'{status["Threads"]} threads')
    limits = open(f'/proc/{d.server.pid}/limits').read()
    check(re.search(r'^Max core file size +0 ', limits, re.M), 'no core dump')
    check(os.stat(f'/proc/{d.server.pid}/mem').st_uid == 0, 'not dumpable')


def test_control(d, stations, request):
    """The other verbs while it serves and is busy."""
    busy = load(stations, 30, 'text')
    status = json.loads(d.keytool('desk', 'status', '--json', d.store).stdout)
    check(status['served'] and status['ready'], status)
    out = d.dir / 'more.prekeys'
    d.keytool('desk', 'prekeys', '--add', '7', '-o', out, '--key', d.desk_key, d.store)
    p = d.keytool('vault', 'set', '--prekeys', out, '--key', d.key('alice'), d.vault)
    check('batch 2, 7 prekeys' in p.stdout, p.stdout)
    p = d.keytool('desk', 'receive', '--json', '--key', d.desk_key, d.store, d.policy, d.dir / 'none', KEYTOOL, expect=5)
    told = {os.path.basename(t['file']): t['taken'] for t in json.loads(p.stdout)}
    check(told == {'force.policy': True, 'none': False, os.path.basename(KEYTOOL): False}, told)
    odd = d.dir / 'odd ü%&?#\n.policy'
    odd.write_bytes(d.policy.read_bytes())
    d.keytool('desk', 'receive', '--key', d.desk_key, d.store, odd)
    junk = d.dir / 'junk'
    junk.write_bytes(os.urandom(3000))
    p = d.keytool('desk', 'answer', '--key', d.desk_key, '-o', d.dir / 'answer', junk, d.store, expect=3)
    check('not a request to this desk' in p.stderr and not (d.dir / 'answer').exists(), p.stderr)
    p = d.keytool('desk', 'answer', '--key', d.desk_key, '-o', d.dir / 'answer', request, d.store, expect=5)
    check('asks the station for' in p.stderr and (d.dir / 'answer').stat().st_mode & 0o777 == 0o600, p.stderr)
    d.keytool('desk', 'clock', '--confirm', '--key', d.desk_key, d.store)
    loaded(busy, 'beside control')
    if os.geteuid() == 0 and d.run('id', 'vaultfs-test', expect=None).returncode == 0:
        code = f'import socket; s = socket.socket(socket.AF_UNIX); s.connect({str(d.store / "control")!r})'
        p = d.run('/usr/bin/python3', '-c', code, user='vaultfs-test', expect=None)
        check(p.returncode != 0, 'nobody else may ask there')


class Tap:
    """Between a station and the desk: keeps the requests that pass."""

    def __init__(self, d):
        self.seen, self.d = [], d
        self.s = socket.socket()
        self.s.bind(('127.0.0.1', int(d.url.rsplit(':', 1)[1])))
        self.s.listen(8)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                c, _ = self.s.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(c,), daemon=True).start()

    def one(self, c):
        r = Raw(self.d)
        seen = []

        def back():
            while data := r.s.recv(65536):
                c.sendall(data)
            c.close()
        threading.Thread(target=back, daemon=True).start()
        try:
            while data := c.recv(65536):
                seen.append(data)
                r.send(data)
        except OSError:
            pass
        self.seen.append(b''.join(seen))


def bodies(stream):
    """The bodies of the POST requests in what one connection sent."""
    out = []
    while stream:
        head, _, rest = stream.partition(b'\r\n\r\n')
        length = next(int(line[15:]) for line in head.lower().split(b'\r\n') if line.startswith(b'content-length:'))
        out.append(rest[:length])
        stream = rest[length:]
    return out


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    d = DeskWorld(http=True, records=40, prekeys=20)
    url = d.listen
    stations = []
    for name in ('printer', 'embosser', 'spare'):
        station, enrol = d.station(name)
        d.deliver(station, enrol, job=name, release='online', extra=('--allow-incomplete',))
        stations.append(station)
    # The stations' requests pass by somebody who keeps them.
    d.listen = '127.0.0.1:0'
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        d.listen = '127.0.0.1:%d' % s.getsockname()[1]
    d.serve()
    tap = Tap(d)
    loaded(load([stations[2]], 3), 'through a tap')
    tap.s.shutdown(socket.SHUT_RDWR)
    tap.s.close()
    time.sleep(0.3)
    requests = [b for stream in tap.seen for b in bodies(stream)]
    check(len(requests) >= 3, f'{len(requests)} requests seen')
    for request in (requests[0], requests[-1]):
        replayed(d, request)
    replayed_on_and_on(d, requests[-1])
    (d.dir / 'replayed').write_bytes(requests[-1])
    test_wrong(d)
    test_second(d)
    test_hygiene(d)
    check(d.stop() == 0, 'it stops')

    d.listen = url
    d.serve()
    pace = Pace(d) if LONG else None
    good = test_hostile(d, stations[:2], 20 if LONG else 2)
    test_slow_uploads(d, stations[:2])
    test_control(d, stations[:2], d.dir / 'replayed')
    if pace:
        pace.see()
    test_stop(d, stations[0])

    test_stuck_log(d, stations[:2])
    test_unix(d)
    test_systemd(d)
    d.serve('--connections', '40')
    test_places(d)
    d.stop()
    d.serve('--per-address', '6')
    test_per_address(d)
    check(d.stop() == 0, 'it stops')
    print(f'served beside hostile clients: {good}')


main()
