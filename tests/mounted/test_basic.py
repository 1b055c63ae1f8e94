# SPDX-License-Identifier: MIT
"""The mount as a print bureau finds it: what is there, what it says, what is refused, as root and as an ordinary user."""
import csv
import errno
import os
import stat

from world import (CARD_PRINT_TEXT, World, check, entries, errno_of, read, unprivileged_user)


def look_at(world, mnt, job='cards', user=None):
    top = mnt / job
    granted = {t['ref']: t for t in world.truth}
    check(sorted(os.listdir(mnt)) == sorted(['.nomedia', '.trackerignore', '.metadata_never_index', job]), 'the root')
    check(sorted(os.listdir(top)) == sorted(['GRANT.txt', 'cards.csv', 'cards-excel.csv', 'photos', 'signatures', 'records']),
          'the job folder')
    check(sorted(os.listdir(top / 'photos')) == sorted(f'{r}.JPG' for r in granted), 'one photo a record')
    check(sorted(os.listdir(top / 'records')) == sorted(granted), 'one folder a record')
    some = next(iter(granted))
    check(sorted(os.listdir(top / 'records' / some)) == sorted(CARD_PRINT_TEXT), 'the granted text fields and no others')

    for folder, dirs, files in os.walk(mnt):
        check(stat.S_IMODE(os.stat(folder).st_mode) == 0o550, f'{folder} is 0550')
        for name in files:
            st = os.stat(os.path.join(folder, name))
            check(stat.S_IMODE(st.st_mode) == 0o440, f'{name} is 0440')
            check(st.st_size == len(read(os.path.join(folder, name))), f'{name} is as long as it says')

    for ref, t in granted.items():
        for field in CARD_PRINT_TEXT:
            got = read(top / 'records' / ref / field)
            check(got == (t['text'].get(field, '') + '\n').encode(), f'{ref} {field} is what the table says')
        photo = read(top / 'photos' / f'{ref}.JPG')
        check(photo[:2] == b'\xff\xd8' and photo[-2:] == b'\xff\xd9', 'a JPEG, whole')
        check(b'Exif' not in photo and b'http://ns.adobe.com' not in photo, 'no metadata')

    with open(top / 'cards.csv', newline='', encoding='utf-8') as f:
        raw = f.read()
    check('\r' not in raw and not raw.startswith('\ufeff'), 'cards.csv has LF and no BOM')
    rows = list(csv.DictReader(raw.splitlines()))
    check(list(rows[0]) == ['ref'] + CARD_PRINT_TEXT + ['photo', 'photo_path'], 'columns of cards.csv')
    check(len(rows) == len(granted), 'a row a record')
    for row in rows:
        t = granted[row['ref']]
        check(all(row[f] == t['text'].get(f, '') for f in CARD_PRINT_TEXT), 'the row is the record')
        check(row['photo'] == f'photos/{row["ref"]}.JPG' and row['photo_path'] == f'{top}/{row["photo"]}', 'paths')
        check(os.path.exists(row['photo_path']), 'photo_path leads to the photo')
    check(all(line.startswith('"') for line in raw.splitlines()), 'every field is quoted')
    excel = read(top / 'cards-excel.csv')
    check(excel == b'\xef\xbb\xbf' + raw.replace('\n', '\r\n').encode(), 'cards-excel.csv is the same with BOM and CRLF')
    # From the middle, as a program that seeks does.
    with open(top / 'cards-excel.csv', 'rb') as f:
        f.seek(len(excel) // 2)
        check(f.read(100) == excel[len(excel) // 2:][:100], 'reading from the middle')

    grant_txt = read(top / 'GRANT.txt').decode()
    check('Northshire Police' in grant_txt and 'Warrant cards' in grant_txt, 'GRANT.txt says who and why')
    check('enforced by software, not by cryptography' in grant_txt, 'GRANT.txt says how it ends')


def refusals(mnt):
    top = mnt / 'cards'
    ref = sorted(os.listdir(top / 'records'))[0]
    for name in ('vetting', 'pay_no', 'surname', 'protect', 'nonsense'):
        check(errno_of(lambda: os.stat(top / 'records' / ref / name)) == errno.ENOENT, f'{name} does not exist')
    check(errno_of(lambda: os.stat(top / 'photos' / 'AAAAAAAA.JPG')) == errno.ENOENT, 'no photo of nobody')
    check(errno_of(lambda: open(top / 'photos' / f'{ref}.JPG', 'r+b')) == errno.EROFS, 'writing')
    check(errno_of(lambda: open(top / 'new', 'wb')) == errno.EROFS, 'making a file')
    check(errno_of(lambda: os.unlink(top / 'cards.csv')) == errno.EROFS, 'removing')
    check(errno_of(lambda: os.mkdir(top / 'dir')) == errno.EROFS, 'making a folder')
    check(errno_of(lambda: os.rename(top / 'cards.csv', top / 'x')) == errno.EROFS, 'renaming')


def mount_options(mnt):
    line = next(l for l in open('/proc/self/mountinfo') if f' {mnt} ' in l)
    for option in ('ro', 'nosuid', 'nodev', 'noexec'):
        check(option in line.split()[5].split(','), f'mounted {option}')
    check('default_permissions' in line and ' fuse.vaultfs vaultfs ' in line, 'default_permissions, type and source')


def inodes(mnt):
    return {os.path.join(d, n): os.lstat(os.path.join(d, n)).st_ino for d, ds, fs in os.walk(mnt) for n in ds + fs}


def times(mnt):
    return {os.path.join(d, n): os.lstat(os.path.join(d, n)).st_mtime_ns for d, ds, fs in os.walk(mnt) for n in ds + fs}


def logged(world, station):
    """Every file that was opened has its entry; no name or number stands in the log."""
    log = entries(station / 'log')
    opened = [e for e in log if e['event'] == 'open']
    for t in world.truth:
        check(any(e.get('refs') == [t['ref']] and e.get('part') == 'image' for e in opened), 'the photo was logged')
    check(any(e.get('refs') == 'all' and len(e['manifest']) == 64 for e in opened), 'cards.csv is logged as all')
    one = opened[0]
    check(one['uid'] == os.geteuid() or one['uid'] > 0, 'uid')
    check('python' in one['exe'] or one['exe'] == 'unknown', 'exe')
    text = b''.join(read(p) for p in sorted((station / 'log').glob('entries-*')))
    for t in world.truth:
        for field in ('surname', 'name_on_card', 'warrant_no'):
            value = t['text'].get(field, '').encode()
            check(len(value) < 8 or value not in text, f'{field} is not in the log')


def as_root():
    world = World(records=12, synth=('--signatures', '50'))
    station, enrol = world.station()
    world.deliver(station, enrol)
    mnt = world.mount(station)
    look_at(world, mnt)
    refusals(mnt)
    mount_options(mnt)
    before, stamps = inodes(mnt), times(mnt)
    second = world.run(os.environ['VAULTFS'], station, world.vault, expect=1)
    check(str(mnt) in second.stderr, 'a second mount says where the first is')
    world.unmount(mnt)
    world.mount(station, where=mnt)
    check(inodes(mnt) == before, 'inode numbers are stable over mounts')
    check(times(mnt) == stamps, 'times are stable over mounts')
    world.unmount(mnt)
    logged(world, station)
    world.keytool('audit', 'verify', '--enrol', world.dir / 'printer/printer.enrol', station / 'log')
    # One job at the root.
    world.mount(station, where=mnt, options=('--job', 'cards'))
    check('cards.csv' in os.listdir(mnt) and '.nomedia' in os.listdir(mnt), '--job puts the job at the root')
    row = next(csv.DictReader(open(mnt / 'cards.csv', newline='')))
    check(row['photo_path'] == f'{mnt}/{row["photo"]}' and os.path.exists(row['photo_path']), 'photo_path with --job')
    world.unmount(mnt)
    bad = world.run(os.environ['VAULTFS'], '--job', 'nosuch', station, mnt, expect=1)
    check('nosuch' in bad.stderr and not os.path.ismount(mnt), 'a job that is not there')
    world.mount(station, where=mnt, options=('-o', 'path-prefix=Z:/photos,uid=1234,gid=1235'))
    row = next(csv.DictReader(open(mnt / 'cards/cards.csv', newline='')))
    check(row['photo_path'].startswith('Z:/photos/cards/photos/'), 'path-prefix')
    st = os.stat(mnt / 'cards/photos')
    check((st.st_uid, st.st_gid) == (1234, 1235), 'uid and gid')
    world.unmount(mnt)


def as_user():
    user = unprivileged_user()
    if not user:
        return
    world = World(records=6)
    station, enrol = world.station(owner=user)
    world.deliver(station, enrol, user=user)
    mnt = world.mount(station, user=user)
    out = world.run('sh', '-c', f'cat {mnt}/cards/cards.csv && cat {mnt}/cards/photos/*.JPG | wc -c', user=user).stdout
    check(out.count('photos/') == 2 * 6, 'the user reads the table')
    check(int(out.splitlines()[-1]) > 6 * 40000, 'and the photos')
    if os.geteuid() == 0:
        # The daemon belongs to the user: even root is kept out by the kernel unless allow_other was asked for.
        check(errno_of(lambda: os.listdir(mnt)) == errno.EACCES, 'others are refused')
    world.unmount(mnt, user=user)


as_root()
as_user()
print('the mount is what it says')
