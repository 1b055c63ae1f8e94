# SPDX-License-Identifier: MIT
"""A whole force, at its size. `photos`: 2,000 officers with photos, as an unprivileged bureau finds them; `many`: 47,000 records within an
ordinary user's limits of memory. Figures are printed."""
import os
import sys
import time

import bureau
import pictures
from world import CARD_PRINT_TEXT, World, check, unprivileged_user

MEMLOCK_KIB = 8192  # what Debian gives an ordinary user
ANONYMOUS_MAX = 64 << 20
BATCH = 100
SAMPLE = 2000


def timed(what, action):
    start = time.monotonic()
    result = action()
    print(f'{what:34} {time.monotonic() - start:8.2f} s', flush=True)
    return result


def anonymous(pid):
    """Resident anonymous memory of a process, bytes."""
    for line in open(f'/proc/{pid}/smaps_rollup'):
        if line.startswith('Anonymous:'):
            return int(line.split()[1]) * 1024
    check(False, 'smaps_rollup has a line Anonymous')


def limited(world, kib, *command, user, **kw):
    """Run a program under a limit of locked memory."""
    return world.run('sh', '-c', f'ulimit -l {kib} && exec "$@"', 'sh', *command, user=user, **kw)


def start_limited(world, station, user):
    """Mount under Debian's limit; says how long it took until the first byte of a record was read."""
    mnt = world.dir / 'mnt'
    mnt.mkdir(exist_ok=True)
    if user:
        os.chown(mnt, *map(int, world.run('sh', '-c', 'id -u; id -g', user=user).stdout.split()))
    start = time.monotonic()
    limited(world, MEMLOCK_KIB, os.environ['VAULTFS'], station, mnt, user=user)
    answers = time.monotonic()
    world.mounts.append((mnt, user))
    world.run('sh', '-c', f'head -c 1 {mnt}/cards/records/{world.truth[0]["ref"]}/rank', user=user)
    print(f'{"vaultfs start until it answers":34} {answers - start:8.2f} s\n'
          f'{"vaultfs start until a first byte":34} {time.monotonic() - start:8.2f} s (a shell and runuser included)', flush=True)
    return mnt


def refused_without_locked_memory(world, station, user):
    """A user who may lock next to nothing is told so; nothing is mounted, nothing is served from memory that could be swapped."""
    if os.geteuid() == 0 and not user:
        return
    mnt = world.dir / 'mnt'
    mnt.mkdir(exist_ok=True)
    p = limited(world, 64, os.environ['VAULTFS'], station, mnt, user=user, expect=1)
    print('with ulimit -l 64:', p.stderr.strip())
    check(p.stderr.count('\n') == 1 and 'lock' in p.stderr and 'ulimit -l' in p.stderr, 'the refusal says what, why and what to do')
    check(not os.path.ismount(mnt), 'nothing is mounted')


def memory(world, mnt, user, when):
    used = anonymous(world.pid_of(mnt, user=user))
    print(f'{"anonymous memory, " + when:34} {used / (1 << 20):8.1f} MiB', flush=True)
    check(used < ANONYMOUS_MAX, f'the daemon has less than 64 MiB of its own {when}')


def make(records, synth, extra=()):
    """A force, its station and a delivery of everything for a card, with the time of each step."""
    user = unprivileged_user()
    world = timed(f'{records} records made and imported', lambda: World(records=records, synth=synth))
    station, enrol = world.station(owner=user)
    grant = timed('grant issue', lambda: world.grant(enrol, extra=extra))
    bundle = timed('bundle export', lambda: world.bundle(grant))
    print(f'{"grant, bundle":34} {grant.stat().st_size / 1e6:.1f} MB, {bundle.stat().st_size / 1e6:.1f} MB')
    timed('station receive', lambda: world.receive(station, grant, bundle, user=user))
    return world, station, enrol, user


def photos(records):
    bureau.need_tools()
    world, station, enrol, user = make(records, ('--photos', 'mixed', '--signatures', '10'))
    # A batch of cards, as a job of its own.
    (world.dir / 'batch.txt').write_text(''.join(t['ref'] + '\n' for t in world.truth[::records // BATCH][:BATCH]))
    world.deliver(station, enrol, user=user, job='batch', records=('--list', world.dir / 'batch.txt'))
    refused_without_locked_memory(world, station, user)
    mnt = start_limited(world, station, user)
    top = mnt / 'cards'

    # What was not granted does not exist.
    names = set(world.truth[0]['text']) - set(CARD_PRINT_TEXT)
    check({'vetting', 'pay_no', 'surname', 'notify_to', 'endorsement'} <= names, 'there are fields that were not granted')
    tests = ' '.join(f'! test -e {top}/records/{world.truth[0]["ref"]}/{name} &&' for name in sorted(names))
    world.run('sh', '-c', f'{tests} true', user=user)

    listed, copy = timed('cp -r, tar, rsync, find, md5sum', lambda: bureau.copies(world, top, user))
    signatures = sum(t['signature'] is not None for t in world.truth)
    check(len(listed) == 3 + records * (1 + len(CARD_PRINT_TEXT)) + signatures, 'every file was copied')
    memory(world, mnt, user, 'all read')
    timed('every text field compared', lambda: (bureau.spreadsheet(copy, world.truth), bureau.text_fields(copy, world.truth)))
    counts = timed('every photo compared', lambda: pictures.same_pictures(world.force, world.truth, copy / 'photos'))
    pictures.same_signatures(world.force, world.truth, copy / 'signatures')
    check(counts['photos'] == records and counts['turned'] > records // 4, f'there were photos to be turned: {counts}')
    seen = timed('exiftool', lambda: pictures.no_metadata(copy))
    check(seen == len(listed), 'exiftool looked at every file')
    print(f'{counts["photos"]} photos, {counts["turned"]} of them turned, the worst to {counts["worst_db"]:.1f} dB; {seen} files')

    batch = [t for t in world.truth if t['ref'] in (world.dir / 'batch.txt').read_text()]
    world.run('sh', '-c', f'cp -r {mnt}/batch {copy.parent}/batch', user=user)
    timed(f'{len(batch)} cards printed', lambda: bureau.print_cards(world, mnt / 'batch', copy.parent / 'batch', batch, user))
    world.unmount(mnt, user=user)
    world.keytool('audit', 'verify', '--enrol', enrol, station / 'log')


def many(records):
    world, station, enrol, user = make(records, ('--photos', 'none'), extra=('--allow-incomplete',))
    refused_without_locked_memory(world, station, user)
    mnt = start_limited(world, station, user)
    memory(world, mnt, user, 'mounted')
    timed('ls -l of all folders', lambda: world.run('sh', '-c', f'ls -lR {mnt} | wc -l', user=user))
    memory(world, mnt, user, 'listed')
    home = bureau.home_for(world, 'out', user)
    timed('cards.csv read', lambda: world.run('cp', mnt / 'cards/cards.csv', mnt / 'cards/cards-excel.csv', home, user=user))
    memory(world, mnt, user, 'table read')
    bureau.spreadsheet(home, world.truth)
    # Each open waits for its entry on the disk, so a program that opens one file after the other goes as fast as the disk syncs.
    some = world.truth[::-(-records // SAMPLE)]
    (world.dir / 'some').write_text(''.join(f'{t["ref"]}\n' for t in some))
    world.run('mkdir', home / 'records', user=user)
    timed(f'text files of {len(some)} records', lambda: world.run(
        'sh', '-c', f'cd {mnt}/cards/records && xargs -P 8 -n 50 sh -c \'cp -r "$@" {home}/records\' sh < {world.dir}/some',
        user=user, timeout=3000))
    memory(world, mnt, user, 'files read')
    bureau.text_fields(home, some)
    world.unmount(mnt, user=user)
    timed('audit verify', lambda: world.keytool('audit', 'verify', '--enrol', enrol, station / 'log'))


{'photos': photos, 'many': many}[sys.argv[1]](int(sys.argv[2]))
print('a whole force')
