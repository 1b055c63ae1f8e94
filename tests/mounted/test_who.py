# SPDX-License-Identifier: MIT
"""Who read: indexers, loops, crowds, refusals. What the log says is held against what was done: for each process and file the entries and
counts add up to the opens that succeeded, refusals to those that did not; and the log stays small."""
import json
import math
import os
import pathlib
import signal
import struct
import subprocess
import time

from world import CARD_PRINT_TEXT, EKEYEXPIRED, USER, World, check, entries, time_of, unprivileged_user

PYTHON = os.path.realpath('/usr/bin/python3')
MARKER = 'SMITH-CONSTABLE-4711'

# A reader: its work as Python text on stdin; it answers with JSON.
READER = r'''
import ctypes, errno, json, mmap, os, sys, threading, time
done, refused, broken, pids = {}, {}, [], []
lock = threading.Lock()
def get(path, keep=False):
    """Open, read, close; count how it went."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError as e:
        with lock:
            refused[e.errno] = refused.get(e.errno, 0) + 1
        return e.errno
    with lock:
        done[path] = done.get(path, 0) + 1
    if keep:
        return fd
    try:
        while os.read(fd, 1 << 20):
            pass
    except OSError as e:
        broken.append(e.errno)
    os.close(fd)
    return 0
exec(sys.argv[1])
print(json.dumps({'pid': os.getpid(), 'done': done, 'refused': refused, 'broken': broken, 'pids': pids}))
'''


class Reader:
    def __init__(self, work, **kw):
        self.p = subprocess.Popen([PYTHON, '-c', READER, work], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, **kw)

    def result(self):
        out, _ = self.p.communicate(timeout=60)
        check(self.p.returncode == 0, 'a reader came to its end')
        return json.loads(out)


def run(work):
    return Reader(work).result()


def what_of(path):
    """What an entry says of a file: refs, part, fields."""
    path = pathlib.Path(path)
    if path.name.startswith('cards'):
        return 'all', 'text', tuple(CARD_PRINT_TEXT)
    if path.parent.name in ('photos', 'signatures'):
        return path.name[:8], 'image', (path.parent.name[:-1],)
    return path.parent.name, 'text', (path.name,)


def told_of(e):
    refs = e['refs'] if e['refs'] == 'all' else e['refs'][0]
    return refs, e['part'], tuple(e['fields'])


# What is to be held against the log once it is written.
later = []
every = []


def when_written(f):
    later.append(f)


def of(*readers):
    """The entries of these readers."""
    pids = {r['pid'] for r in readers} | {p for r in readers for p in r['pids']}
    return [e for e in every if e.get('pid') in pids]


def compare(log, *readers, exe=PYTHON):
    """The entries against what the readers did; returns entries and counts of opens."""
    opens, repeats, last = {}, {}, {}
    for e in log:
        check(e['event'] in ('open', 'repeat'), f'nothing but disclosures: {e}')
        check(e['result'] == 'ok' and e['category'] == 'disclosure' and e['exe'] == exe and e['uid'] == os.geteuid(), f'who and what: {e}')
        check(e['job'] and e['grant'] and e['recipient'] == 'printer' and e['host'] and len(e['session']) == 32, f'under what, where: {e}')
        check(('manifest' in e) == (e['refs'] == 'all'), f'which all: {e}')
        key = (e['pid'], *told_of(e))
        if e['event'] == 'open':
            check('count' not in e, 'an open is one')
            opens[key] = opens.get(key, 0) + 1
            last[key] = e
        else:
            first = last.get(key)
            check(first is not None, f'a repeat follows its entry: {e}')
            check({k: v for k, v in e.items() if k in ('grant', 'job', 'bytes', 'manifest', 'session')} ==
                  {k: v for k, v in first.items() if k in ('grant', 'job', 'bytes', 'manifest', 'session')}, f'and says the same: {e}')
            check(time_of(e) - time_of(first) < 3.5, 'soon')
            repeats[key] = repeats.get(key, 0) + e['count']
    want = {}
    for r in readers:
        for path, n in r['done'].items():
            key = (r['pid'], *what_of(path))
            want[key] = want.get(key, 0) + n
    got = {k: opens.get(k, 0) + repeats.get(k, 0) for k in opens.keys() | repeats.keys()}
    check(got == want, f'entries and counts are the opens: {[(k, got.get(k), want.get(k)) for k in got.keys() | want.keys() if got.get(k) != want.get(k)][:5]}')
    return sum(opens.values()), sum(repeats.values())


def indexers(station, mnt, files):
    # Each file by a process of its own: each is told, and nothing else is.
    p = subprocess.run(['find', mnt / 'cards', '-type', 'f', '-exec', 'head', '-c1', '{}', ';'], stdout=subprocess.PIPE, check=True)
    check(len(p.stdout) == len(files) + 1, 'find looked into every file and GRANT.txt')

    @when_written
    def _():
        told = [e for e in every if e.get('exe') == os.path.realpath('/usr/bin/head')]
        check(sorted(map(told_of, told)) == sorted(map(what_of, files)), 'one entry a file')
        check({e['event'] for e in told} == {'open'} and len({e['pid'] for e in told}) == len(files), 'of as many processes')

    # A tracker: looks at everything, then opens each file twice (once for its type, once for its text); and all again, later.
    tracker = run(f'''
for folder, _, names in os.walk({str(mnt)!r}):
    for name in names:
        os.stat(os.path.join(folder, name))
for path in {files!r}:
    get(path), get(path)
''')
    end = time.time() + 5
    while sum(e['event'] == 'repeat' for e in entries(station / 'log', torn=True)) < len(files):
        check(time.time() < end, 'counts are written when their second is over')
        time.sleep(0.1)
    when_written(lambda: check(compare(of(tracker), tracker) == (len(files), len(files)), 'twice is an entry and a count of one'))
    again = run(f'''
for path in {files!r}:
    get(path)
time.sleep(1.1)
for path in {files!r}:
    get(path)
''')
    when_written(lambda: check(compare(of(again), again) == (2 * len(files), 0), 'a second later it is a disclosure of its own'))


def loop(path, opens, what):
    started = time.time()
    r = run(f'for _ in range({opens}): get({path!r})')
    seconds = math.ceil(time.time() - started)

    @when_written
    def _():
        n, counted = compare(of(r), r)
        check(n <= seconds and counted == opens - n, f'{what}: {opens} opens in {seconds} s are {n} entries')


def several(mnt, photo, other):
    # Two processes taking turns, on two files.
    turns = 'for _ in range(100): get({a!r}), get({b!r})'
    readers = [Reader(turns.format(a=photo, b=other)), Reader(turns.format(a=other, b=photo))]
    two = [r.result() for r in readers]

    @when_written
    def _():
        n, counted = compare(of(*two), *two)
        check(4 <= n <= 20 and n + counted == 400, f'each process has its own entries ({n})')

    # Threads are their process.
    threads = run(f'''
threads = [threading.Thread(target=lambda: [get({photo!r}) for _ in range(50)]) for _ in range(8)]
for t in threads: t.start()
for t in threads: t.join()
''')

    @when_written
    def _():
        n, counted = compare(of(threads), threads)
        check(n + counted == 400 and n <= 40, f'eight threads are one process ({n} entries)')

    # A mapping is one open, however much is looked at.
    mapped = run(f'''
fd = get({photo!r}, keep=True)
for _ in range(50):
    m = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
    bytes(m)
    m.close()
''')
    when_written(lambda: check(compare(of(mapped), mapped) == (1, 0), 'fifty mappings of one open'))


def crowds(photo):
    # A storm of processes: each is somebody.
    storm = run(f'''
for _ in range(150):
    pid = os.fork()
    if pid == 0:
        os._exit(get({photo!r}))
    pids.append(pid)
    done[{photo!r}] = done.get({photo!r}, 0) + (os.waitpid(pid, 0)[1] == 0)
''')

    @when_written
    def _():
        check(storm['done'] == {photo: 150}, 'each child read')
        check(sorted(e['pid'] for e in of(storm)) == sorted(storm['pids']), 'each is told')
        check({(e['event'], *told_of(e)) for e in of(storm)} == {('open', *what_of(photo))}, 'as a disclosure')

    # The same process, another program: each is told as what it was.
    changed = run(f'''
get({photo!r}), get({photo!r})
print(json.dumps(dict(pid=os.getpid(), done=done, pids=[]))); sys.stdout.flush()
os.dup2(os.open('/dev/null', os.O_WRONLY), 1)
os.execv('/usr/bin/cat', ['cat', {photo!r}, {photo!r}])
''')

    @when_written
    def _():
        cat = [e for e in of(changed) if e['exe'] == os.path.realpath('/usr/bin/cat')]
        check(compare([e for e in of(changed) if e not in cat], changed) == (1, 1), 'as Python')
        check(sum(e.get('count', 1) for e in cat) == 2, 'as cat, twice')


def reused_number(photo):
    """A process that has the number of one that has just ended is another process."""
    if os.geteuid() != 0 or not os.access('/proc/sys/kernel/ns_last_pid', os.W_OK):
        print('the number of a process is not used again: that needs root')
        return
    r = run(f'''
for _ in range(15):
    if pids:
        open('/proc/sys/kernel/ns_last_pid', 'w').write(str(pids[0] - 1))
    pid = os.fork()
    if pid == 0:
        time.sleep(0.011)
        os._exit(get({photo!r}) or get({photo!r}))
    os.waitpid(pid, 0)
    pids.append(pid)
    done[{photo!r}] = done.get({photo!r}, 0) + 2
''')

    @when_written
    def _():
        pids = r['pids']
        # Another process of this machine may have taken the number once or twice.
        check(len(set(pids)) < len(pids), f'numbers were used again: {pids}')
        check(sum(e['event'] == 'open' for e in of(r)) == len(pids), f'each of {len(pids)} processes with {len(set(pids))} numbers has an entry')
        check(sum(e['count'] for e in of(r) if e['event'] == 'repeat') == len(pids), 'and its second open a count')


def not_told(world, mnt, photo):
    # Names that do not exist could be anybody's: they are not told, whoever asks how often.
    probe = run(f'''
for i in range(2000):
    get({str(mnt)!r} + f'/cards/photos/{MARKER}{{i}}.JPG')
    get({str(mnt)!r} + f'/{MARKER}{{i}}')
    get({str(mnt)!r} + f'/cards/records/{MARKER}{{i}}/rank')
''')
    check(probe['refused'] == {'2': 6000}, 'none of them exists')
    # What the kernel refuses by itself does not come to us: writing, and other users.
    writer = run(f'''
for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC):
    try:
        os.open({photo!r}, flags)
    except OSError as e:
        refused[e.errno] = refused.get(e.errno, 0) + 1
''')
    check(writer['refused'] in ({'30': 3}, {'13': 3}), f'nobody writes: {writer["refused"]}')
    if unprivileged_user():
        check(world.run('cat', photo, user=USER, expect=None).returncode != 0, 'another user')

    @when_written
    def _():
        check(of(probe, writer) == [] and not any(e.get('uid', os.geteuid()) != os.geteuid() for e in every), 'nothing of this is told')
        check(not any(MARKER in json.dumps(e) for e in every), 'least of all the names')


def budget(station, photos):
    """Past the budget of distinct records: a loop that is refused, and goes on in the next minute."""
    first = Reader(f'''
for path in {photos[:3]!r}: get(path)
for _ in range(700): get({photos[3]!r})
print(json.dumps(refused), file=sys.stderr, flush=True)
input()
for _ in range(40): get({photos[3]!r})
''', stderr=subprocess.PIPE)
    check(json.loads(first.p.stderr.readline()) == {'122': 700}, 'three, and no fourth')
    time.sleep(1.6)  # what was opened just before is told at its own time
    set_clock(61)
    end = time.time() + 5
    while not any(e['event'] == 'deny' and 'count' in e for e in entries(station / 'log', torn=True)):
        check(time.time() < end, 'the count is told when the minute is over')
        time.sleep(0.1)
    first.p.stdin.write('\n')
    first.p.stderr.close()
    r = first.result()
    check(r['refused'] == {'122': 740} and len(r['done']) == 3, f'nor in the next minute: {r["refused"]}')

    @when_written
    def _():
        compare([e for e in of(r) if e['event'] == 'open'], r)
        denied = [e for e in of(r) if e['event'] == 'deny']
        single = [e for e in denied if 'count' not in e]
        check(len(single) == 20 and all(e['result'] == 'EDQUOT' and e['exe'] == PYTHON and e['refs'] == [what_of(photos[3])[0]] for e in single),
              'ten entries a minute say who was refused what')
        counted = [e for e in denied if 'count' in e]
        check([e['count'] for e in counted] == [690, 30] and [denied.index(e) for e in counted] == [10, 21], 'the rest of each minute is counted')
        check(all(e['result'] == 'EDQUOT' and e['exe'] == PYTHON and e['job'] == 'few' and 'refs' not in e for e in counted), f'what they share: {counted}')
        told = [e['event'] for e in every if e['event'] not in ('seal', 'time')]
        check(told[-2:] == ['deny', 'unmount'], f'the last one before the unmount: {told[-5:]}')


def the_end(photo, end):
    """A loop that goes on after the end of its grant."""
    r = run(f'''
while not refused: get({photo!r})
while time.time() < {end + 0.4}: get({photo!r})
while refused[{EKEYEXPIRED}] < 5000: get({photo!r})
''')
    check(set(r['refused']) == {str(EKEYEXPIRED)}, 'refused for thousands of times')

    @when_written
    def _():
        at = [e['event'] for e in every].index('expire')
        compare([e for e in every[:at] if e['event'] in ('open', 'repeat')], r)
        check(not any(e['event'] in ('open', 'repeat') and e['pid'] == r['pid'] for e in every[at:]), 'the counts come before the end')
        denied = [e for e in every if e['event'] == 'deny']
        told = sum(e.get('count', 1) for e in denied)
        # A file that was open when the end came is refused page by page.
        check(0 <= told - r['refused'][str(EKEYEXPIRED)] <= 4 * len(r['broken']), f'{told} are told of {r["refused"]}, {r["broken"]}')
        check(len(denied) <= 12 and denied[-1]['count'] > 4900 and denied[-1]['result'] == 'EKEYEXPIRED', f'in {len(denied)} entries')
        print(f'{told} refusals are {len(denied)} entries')


def terminated(world, mnt, photo):
    """A loop that goes on until the daemon is asked to leave."""
    reader = Reader(f'while not refused: get({photo!r})')
    time.sleep(1.2)
    os.kill(world.pid_of(mnt), signal.SIGTERM)
    r = reader.result()
    for _ in range(100):
        if not world.daemons():
            break
        time.sleep(0.05)
    world.mounts.clear()

    @when_written
    def _():
        mine = [e for e in of(r) if e['event'] != 'deny']
        opened = sum(e.get('count', 1) for e in mine)
        # One may have been under way: it has its entry, and its program an error.
        check(opened - r['done'][photo] in (0, 1), f'{r["done"]} read, {opened} told')
        told = [e['event'] for e in every if e['event'] not in ('seal', 'time')]
        check(told[-1] == 'unmount' and mine[-1]['event'] == 'repeat', f'the counts come before the unmount: {told[-5:]}')
        print(f'{opened} opens in a loop are {len(mine)} entries')


def set_clock(seconds):
    """The clocks of the daemon are that far ahead: in one write, since it keeps the file open."""
    fd = os.open(clock, os.O_WRONLY | os.O_CREAT, 0o600)
    os.pwrite(fd, struct.pack('=qqq', seconds * 1000000, seconds * 1000000, 0), 0)
    os.close(fd)


def hold_against_the_log(station):
    """All that was written since the last time."""
    global every
    for f in later:
        every = [e for e in entries(station / 'log') if e['seq'] >= hold_against_the_log.begin]
        f()
    later.clear()
    hold_against_the_log.begin = every[-1]['seq'] + 1


hold_against_the_log.begin = 0
world = World(records=8)
station, enrol = world.station()
world.deliver(station, enrol)
world.deliver(station, enrol, job='few', extra=('--budget', '3'))
clock = world.dir / 'clock'
set_clock(0)
mnt = world.mount(station, exe='VAULTFS_CLOCK', env={'VAULTFS_TEST_CLOCK': str(clock)})
files = sorted(str(p) for p in (mnt / 'cards').rglob('*') if p.is_file() and p.name != 'GRANT.txt')
photos = [p for p in files if '/photos/' in p]
check(len(files) == 8 * len(CARD_PRINT_TEXT) + len(photos) + sum('/signatures/' in p for p in files) + 2, 'all files')
indexers(station, mnt, files)
loop(photos[0], 1000, 'one photo')
loop(str(mnt / 'cards/cards.csv'), 100, 'the table')
several(mnt, photos[0], photos[1])
crowds(photos[2])
reused_number(photos[3])
not_told(world, mnt, photos[0])
budget(station, [p.replace('/cards/', '/few/') for p in photos])
world.unmount(mnt)
hold_against_the_log(station)

# The end of a grant and of the daemon, under readers.
end = int(time.time()) + 3
world.deliver(station, enrol, job='short', until=time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(end)))
world.mount(station, where=mnt)
the_end(photos[0].replace('/cards/', '/short/'), end)
terminated(world, mnt, photos[1])
hold_against_the_log(station)
world.keytool('audit', 'verify', '--enrol', enrol, station / 'log')
