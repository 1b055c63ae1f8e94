# SPDX-License-Identifier: MIT
"""An import as an ID-card office does it: every kind of bad row, bad photo and bad file among good ones, mended and imported again; snapshots,
maps, dates, pictures that are too large. What was taken is then read in a mount."""
import csv
import hashlib
import io
import json
import os
import pathlib
import shutil
import stat
import warnings

import bureau
import pictures
from world import World, check, read

ROW_COLUMN = {}  # field: the HR system's name for it
MOST = 'name_on_card,rank,warrant_no,photo,card_type,card_serial,issue_no,valid_from,valid_to,endorsement,chip_type,chip_uid,' \
       'person_type,surname,forenames,title,shoulder_no,unit_code,station,grade'
CLASS_C = 'warrant_no,pay_no,vetting,vetting_expiry,protect,notify_to,status,source_system,source_updated'


def imp(world, table, *more, photos=None, mapped=True, expect=0, vault=None):
    """Import with --json; the report, with the messages of the run as 'said'."""
    args = ['--csv', table] + (['--photos', photos] if photos else []) + (['--map', world.force / 'force.map'] if mapped else [])
    p = world.keytool('record', 'import', '--json', *args, *more, '--key', world.key('alice'), vault or world.vault, expect=expect)
    report = json.loads(p.stdout) if p.stdout else {}
    report['said'] = p.stderr
    return report


def new_vault(world, name):
    """A vault that knows the force's ranks and what its numbers look like."""
    vault = world.dir / name
    world.keytool('vault', 'create', '--force-name', name, '--admin', f'{world.key("alice")}.pub', '--threshold', '1', '--key',
                  world.key('alice'), vault)
    world.keytool('vault', 'set', '--ranks', world.force / 'ranks.txt', '--warrant-pattern', world.manifest['warrant_pattern'], '--key',
                  world.key('alice'), vault)
    return vault


def state(folder):
    """What is on the disk of a vault, but for the lock table and the log's own time stamps."""
    return {str(p.relative_to(folder)): hashlib.sha256(read(p)).hexdigest() for p in sorted(pathlib.Path(folder).rglob('*'))
            if p.is_file() and not p.name.startswith('lock') and 'log' not in p.parts}


def records(world, vault, fields=CLASS_C):
    return {r['warrant_no']: r for r in json.loads(world.keytool('record', 'list', '--json', '--fields', fields, '--key',
                                                                 world.key('alice'), vault).stdout)}


def stamps(world):
    """Generation and time of every field of every record."""
    return [world.keytool('record', 'show', '--json', '--ref', t['ref'], '--key', world.key('alice'), world.vault).stdout
            for t in world.truth]


def table(path):
    """Rows of a CSV as bytes: bad ones are not UTF-8."""
    with open(path, encoding='latin-1', newline='') as f:
        return [[cell.encode('latin-1') for cell in row] for row in csv.reader(f)]


def write_table(path, rows):
    with open(path, 'w', encoding='latin-1', newline='') as f:
        csv.writer(f).writerows([[cell.decode('latin-1') for cell in row] for row in rows])


def problems_of(report, row):
    return [p for p in report['problems'] if p['row'] == row]


# ------------------------------------------------------------------------------------------------------------- bad rows and photos

def told_well(bad, cells, report, photos_expected):
    """Each bad row and photo is told by row and column, without a value; nothing is told of good ones."""
    for e in bad:
        told = problems_of(report, e['row'])
        errors = [p for p in told if not p['warning']]
        photo = e.get(photos_expected)
        columns = [p['column'] for p in errors]
        if e['expect'] == 'reject':
            check(errors, f'{e["kind"]}: row {e["row"]} is told')
            check('field' not in e or ROW_COLUMN[e['field']] in columns, f'{e["kind"]}: column {columns}')
        elif photo == 'refused':
            check(columns == ['photo'], f'{e["kind"]}: the photo is refused: {told}')
        elif e['expect'] == 'accept':
            check(not errors, f'{e["kind"]}: nothing is wrong with row {e["row"]}: {errors}')
            check((photo in ('missing', 'warned')) >= bool(told), f'{e["kind"]}: no warning: {told}')
            check(photo != 'missing' or told, f'{e["kind"]}: a warning')
        for p in told:
            for cell in cells[e['row'] - 1]:
                # Short words, enumerations and the example of a spreadsheet's number stand in a reason for another reason.
                value = cell.decode('utf-8', 'replace').strip()
                check(len(value) < 4 or value.isupper() and value.isalpha() or value == '1.84E+05' or value not in p['reason'],
                      f'{e["kind"]}: the reason shows what stood in the table')
    said = {p['reason'] for p in report['problems'] if p['warning']}
    check(any('same picture' in r for r in said), 'the same picture on two records is a warning')


def photo_counts(bad, report, key):
    kinds = [e[key] for e in bad if key in e]
    check(report['photos']['bad'] == kinds.count('refused'), f'photos refused: {report["photos"]}')
    check(report['photos']['orphan'] == kinds.count('orphan'), f'orphans: {report["photos"]}')
    check(report['photos']['duplicate'] == kinds.count('warned') // 2, f'duplicates: {report["photos"]}')
    check(report['photos']['taken'] == kinds.count('accept') + kinds.count('warned'), f'taken: {report["photos"]}')


def bad_rows(world, vault):
    """Good rows go in, bad ones are told and put aside, --check changes nothing. Returns what was expected, with refs."""
    folder = world.force / 'bad'
    bad = [json.loads(line) for line in (folder / 'bad.expected.jsonl').read_text().splitlines()]
    cells = table(folder / 'bad.csv')
    args = (folder / 'bad.csv',)
    before = state(vault)
    rejects, refs = world.dir / 'rejects.csv', world.dir / 'bad-refs.csv'
    tried = imp(world, *args, '--check', photos=folder / 'bad.photos', expect=5, vault=vault)
    check(state(vault) == before and not records(world, vault), '--check changes nothing')
    done = imp(world, *args, '--rejects', rejects, '--refs-out', refs, photos=folder / 'bad.photos', expect=5, vault=vault)
    for key in tried:
        check(key in ('check', 'said') or tried[key] == done[key], f'--check said the same of {key}')
    told_well(bad, cells, done, 'photo_expect')
    photo_counts(bad, done, 'photo_expect')

    # Exactly the good ones are in.
    inside = records(world, vault)
    rows = [e for e in bad if e['row'] is not None]
    for e in rows:
        if e['expect'] == 'accept' or e['kind'].startswith('photo_'):
            check(e['A']['warrant_no'] in inside, f'{e["kind"]}: row {e["row"]} is in')
            got = inside[e['A']['warrant_no']]
            check(all(got[f] == v for f, v in e['C'].items()), f'{e["kind"]}: class C fields of row {e["row"]}')
    wanted = sum(e['expect'] == 'accept' or e['kind'].startswith('photo_') for e in rows)
    check(len(inside) == wanted == done['new'], f'{len(inside)} records, {wanted} were good')
    check(done['bad_rows'] == len(rows) - wanted, 'the bad ones are counted')

    # What was put aside is what stood there; names are for their owner only.
    out = table(rejects)
    aside = {e['row'] for e in rows if e['expect'] != 'accept'}
    check(out[0] == cells[0] and out[1:] == [cells[row - 1] for row in sorted(aside)], 'the rejects are the bad rows as they were')
    for path in (rejects, refs):
        check(stat.S_IMODE(path.stat().st_mode) == 0o600, f'{path.name} is 0600')
    with open(refs, newline='') as f:
        by_row = {int(r['row']): r['ref'] for r in csv.DictReader(f)}
    check(len(by_row) == wanted, 'a ref for each that is in')
    for e in rows:
        e['ref'] = by_row.get(e['row'])
    everything = done['said'] + json.dumps(done['problems'], ensure_ascii=False)
    for e in rows:
        for field in ('name_on_card', 'warrant_no', 'surname', 'pay_no'):
            value = e.get('A', {}).get(field) or e.get('B', {}).get(field) or e.get('C', {}).get(field)
            check(not value or value not in everything, f'no message shows the {field} of row {e["row"]}')
    return bad, cells


def mend(world, vault, bad, cells):
    """The rejects are mended cell by cell and go in; so do proper photos. A repeat finds nothing to do."""
    rejects = table(world.dir / 'rejects.csv')
    column = {name.decode(): i for i, name in enumerate(rejects[0])}
    good = cells[1]
    aside = [e for e in bad if e['row'] is not None and e['expect'] != 'accept']
    photos = world.dir / 'mended-photos'
    photos.mkdir()
    source = next((world.force / 'photos').iterdir())
    for n, (row, e) in enumerate(zip(rejects[1:], aside)):
        if len(row) != len(good):
            row[:] = good
            row[column[ROW_COLUMN['warrant_no']]] = b'%010d' % (9000000 + n)
        elif e['kind'].startswith('photo_'):
            shutil.copy(source, photos / f'{e["warrant_no"]}.jpg')
        elif e['kind'].startswith(('duplicate', 'warrant')):
            row[column[ROW_COLUMN['warrant_no']]] = b'%010d' % (9000000 + n)
        else:
            at = column[ROW_COLUMN[e['field']]]
            row[at] = good[at]
            if e['kind'] == 'valid_to_before_valid_from':
                row[column[ROW_COLUMN['valid_from']]] = good[column[ROW_COLUMN['valid_from']]]
    write_table(world.dir / 'mended.csv', rejects)
    before = len(records(world, vault))
    done = imp(world, world.dir / 'mended.csv', photos=photos, vault=vault)
    refused = sum(e.get('photo_expect') == 'refused' for e in aside)
    check(done['new'] == len(aside) - refused and done['changed'] == refused and done['bad_rows'] == 0, f'the mended go in: {done}')
    check(done['photos']['taken'] == refused and done['photos']['duplicate'] == refused - 1, 'and their photos')
    check(len(records(world, vault)) == before + done['new'], 'now all are in')
    again = imp(world, world.dir / 'mended.csv', photos=photos, vault=vault)
    check(again['unchanged'] == len(aside) and again['new'] == again['changed'] == 0, 'a repeat changes nothing')


def fitted(world, vault):
    """With --photo-fit what was only too large goes in, and what was not a whole picture still does not."""
    folder = world.force / 'bad'
    bad = [json.loads(line) for line in (folder / 'bad.expected.jsonl').read_text().splitlines()]
    fit = imp(world, folder / 'bad.csv', '--photo-fit', photos=folder / 'bad.photos', expect=5, vault=vault)
    told_well(bad, table(folder / 'bad.csv'), fit, 'photo_expect_fit')
    photo_counts(bad, fit, 'photo_expect_fit')
    check((fit['photos']['scaled'], fit['photos']['reencoded']) == (1, 2), 'one was scaled, one compressed more')
    return bad


def served(world, vault, bad, refs):
    """What went in is what a supplier sees: text, and pictures without their baggage."""
    home = world.dir / 'reader'
    home.mkdir()
    policy = home / 'policy'
    world.keytool('policy', 'export', vault, '-o', policy)
    world.keytool('station', 'create', '--name', 'reader', '--policy', policy, '--no-passphrase', '-o', home / 'e', home / 'station')
    world.keytool('grant', 'issue', '--to', home / 'e', '--job', 'all', '--fields', MOST, '--records', 'all', '--until', '+1h', '--purpose',
                  'test', '--release', 'offline', '--allow-incomplete', '--key', world.key('alice'), '-o', home / 'g', vault)
    world.keytool('bundle', 'export', '--grant', home / 'g', '--key', world.key('alice'), '-o', home / 'b', vault)
    world.receive(home / 'station', home / 'g', home / 'b')
    mnt = world.mount(home / 'station')
    top = mnt / 'all'
    texts = [f for f in MOST.split(',') if f != 'photo']
    rows = [e for e in bad if e['row'] in refs]
    check(len(rows) > 30, 'there is something to look at')
    for e in rows:
        want = {**e['A'], **e['B']}
        for field in texts:
            check(read(top / 'records' / refs[e['row']] / field) == (want[field] + '\n').encode(), f'{e["kind"]}: {field} as it should be')
        photo = top / 'photos' / f'{refs[e["row"]]}.JPG'
        has = e.get('photo_expect_fit') in ('accept', 'warned')
        check(photo.exists() == has, f'{e["kind"]}: a photo, or none')
        if has:
            # The files' suffixes differ.
            source = [p for p in (world.force / 'bad/bad.photos').iterdir() if p.stem == e['warrant_no']]
            check(len(source) == 1, 'one source')
            if e['photo_expect'] != 'refused':
                wrong, _ = pictures.compare(source[0], photo, 1)
                check(wrong is None, f'{e["kind"]}: {wrong}')
            else:
                check(photo.stat().st_size <= 1 << 20, f'{e["kind"]}: it fits now')
                with pictures.Image.open(photo) as got, pictures.Image.open(source[0]) as big:
                    check(got.width <= 1200 and got.height <= 1600, f'{e["kind"]}: it fits now')
                    db = pictures.psnr(got, big.resize(got.size, pictures.Image.Resampling.BOX))
                    check(db > 25, f'{e["kind"]}: the same picture, smaller: {db:.1f} dB')
    copy = world.dir / 'copy'
    shutil.copytree(top, copy)
    pictures.no_metadata(copy)
    world.unmount(mnt)


# -------------------------------------------------------------------------------------------------------------------- whole files

def files(world):
    """A file that is wrong as a whole changes nothing and says why in one line; unusual ones that are right go in."""
    folder = world.force / 'bad'
    for line in (folder / 'files.expected.jsonl').read_text().splitlines():
        e = json.loads(line)
        path = folder / e['file']
        vault = new_vault(world, f'v-{path.stem}')
        if e['expect'] == 'accept':
            done = imp(world, path, vault=vault)
            check(done['rows'] == done['new'] == e['rows'], f'{path.name}: {e["rows"]} rows')
        else:
            before = state(vault)
            p = imp(world, path, vault=vault, expect=1)
            check(p['said'].count('\n') == 1 and path.name in p['said'], f'{path.name}: one line says why: {p["said"]}')
            check(state(vault) == before and not records(world, vault), f'{path.name}: nothing has changed')
            for row in table(path)[:4] if path.stem != 'utf-16' else ():
                for cell in row:
                    value = cell.decode('utf-8', 'replace')
                    check(not value.startswith(('PN0', '000')) or value not in p['said'], f'{path.name}: no value is shown')
        shutil.rmtree(vault)
    for name, make in (('a folder', lambda p: p.mkdir()), ('no such file', lambda p: None),
                       ('a fifo', lambda p: os.mkfifo(p))):
        path = world.dir / name.replace(' ', '-')
        make(path)
        p = imp(world, path, expect=1)
        check(p['said'].count('\n') == 1 and path.name in p['said'], f'{name}: {p["said"]}')


# -------------------------------------------------------------------------------------------------------------------- everyday uses

def everyday(world):
    """Repeats, snapshots, maps, dates, another key for photos; on the force that World has imported."""
    source, photos = world.force / 'force.csv', world.force / 'photos'
    n = len(world.truth)
    before = stamps(world)
    again = imp(world, source, photos=photos)
    check(again['unchanged'] == n and again['photos']['taken'] == n, f'all is known: {again}')
    check(stamps(world) == before, 'no field has a new generation or time')

    # A column that is not in the table stays as it is; an empty cell empties the field.
    rows = table(source)
    at = {name.decode(): i for i, name in enumerate(rows[0])}
    number, rank, grade = at[ROW_COLUMN['warrant_no']], at[ROW_COLUMN['rank']], at[ROW_COLUMN['grade']]
    small = [[r[number], r[grade]] for r in rows]
    small[1][1] = b'PC9'
    small[2][1] = b''
    write_table(world.dir / 'small.csv', small)
    was = records(world, world.vault, 'warrant_no,rank,grade,surname')
    changes = [r for r, s in zip(rows[1:], small[1:]) if was[r[number].decode()]['grade'] != s[1].decode()]
    done = imp(world, world.dir / 'small.csv')
    check((done['changed'], done['unchanged']) == (len(changes), n - len(changes)), f'{len(changes)} changed: {done}')
    now = records(world, world.vault, 'warrant_no,rank,grade,surname')
    for key, r in now.items():
        check((r['rank'], r['surname']) == (was[key]['rank'], was[key]['surname']), 'other columns stay')
    check(now[rows[1][number].decode()]['grade'] == 'PC9' and now[rows[2][number].decode()]['grade'] == '', 'these changed')

    # A snapshot without two of them marks two leavers and erases nobody; one that would mark most of the force is refused.
    write_table(world.dir / 'snapshot.csv', rows[:-2])
    plain = imp(world, world.dir / 'snapshot.csv')
    check(plain['leavers'] == 0, 'absence means nothing')
    gone = imp(world, world.dir / 'snapshot.csv', '--full-snapshot', '--check')
    check(gone['leavers'] == 2 and all(r['status'] == 'ACTIVE' for r in records(world, world.vault).values()), '--check only counts')
    gone = imp(world, world.dir / 'snapshot.csv', '--full-snapshot')
    left = {k for k, r in records(world, world.vault).items() if r['status'] == 'LEAVER'}
    check(gone['leavers'] == 2 and left == {r[number].decode() for r in rows[-2:]}, 'two leavers')
    check(len(records(world, world.vault)) == n, 'nobody is erased')
    write_table(world.dir / 'few.csv', rows[:2])
    for few in (world.dir / 'few.csv', world.force / 'bad/files/header-only.csv'):
        p = imp(world, few, '--full-snapshot', expect=4)
        check('--force' in p['said'] and p['said'].count('\n') == 1, f'a snapshot of next to nobody is refused: {p["said"]}')
        check(sum(r['status'] == 'LEAVER' for r in records(world, world.vault).values()) == 2, 'and marks nobody')
    back = imp(world, source)
    check(back['changed'] >= 2 and all(r['status'] == 'ACTIVE' for r in records(world, world.vault).values()), 'they come back')

    # Without a map, or with another: columns are told, or ignored.
    p = imp(world, source, mapped=False, expect=1)
    check('--map' in p['said'] and p['said'].count('\n') == 1, f'an unknown column says what to do: {p["said"]}')
    (world.dir / 'other.map').write_text('# the numbers and names alone\n' + ''.join(
        f'{c} = {"ignore" if f not in ("warrant_no", "surname") else f}\n' for f, c in [*ROW_COLUMN.items()]) + ''.join(
        f'{c["column"]} = ignore\n' for c in world.manifest['columns'] if c['field'] is None))
    done = imp(world, source, '--map', world.dir / 'other.map', mapped=False)
    check(done['unchanged'] == n, 'two columns alone')
    (world.dir / 'bad.map').write_text('Warrant = shoe_size\n')
    p = imp(world, source, '--map', world.dir / 'bad.map', mapped=False, expect=1)
    check('bad.map' in p['said'] and 'shoe_size' in p['said'], f'a map that names no field: {p["said"]}')


def dates(world):
    """The same dates in a British spelling."""
    rows = table(world.force / 'force.csv')
    for name in ('valid_from', 'valid_to', 'vetting_expiry', 'source_updated'):
        at = rows[0].index(ROW_COLUMN[name].encode())
        for row in rows[1:]:
            if row[at]:
                year, month, day = row[at].split(b'-')
                row[at] = b'/'.join((day, month, year))
    write_table(world.dir / 'british.csv', rows)
    p = imp(world, world.dir / 'british.csv', expect=5)
    check(p['bad_rows'] == len(world.truth), 'dates are not guessed')
    done = imp(world, world.dir / 'british.csv', '--date-format', 'DD/MM/YYYY')
    check(done['unchanged'] == len(world.truth), f'they are the same dates: {done}')
    imp(world, world.dir / 'british.csv', '--date-format', 'nonsense', expect=2)


def photo_key(world):
    """Photos named after another field."""
    vault, folder = new_vault(world, 'by-collar'), world.dir / 'by-collar-photos'
    folder.mkdir()
    for t in world.truth:
        shutil.copy(world.force / t['photo']['file'], folder / f'{t["B"]["shoulder_no"]}{pathlib.Path(t["photo"]["file"]).suffix}')
    done = imp(world, world.force / 'force.csv', '--photo-key', 'shoulder_no', photos=folder, vault=vault)
    check(done['photos']['taken'] == len(world.truth) and done['photos']['orphan'] == 0, f'photos by collar number: {done["photos"]}')
    removed = done['metadata_removed']
    for kind, name in (('gps', 'gps'), ('xmp', 'xmp'), ('iptc', 'iptc'), ('comment', 'comments'), ('thumbnail', 'thumbnails')):
        want = sum(kind in t['photo']['metadata'] for t in world.truth)
        check(removed[name] >= want, f'{name} were counted: {removed}')
    imp(world, world.force / 'force.csv', '--photo-key', 'photo', expect=2)


def large(world):
    """A photo of 12 megapixels is refused by name, and goes in with --photo-fit."""
    folder = world.dir / 'large'
    world.run(os.environ['SYNTH'], '--out', folder, '--records', 1, '--seed', 9, '--large-photos', 1)
    vault = new_vault(world, 'large-vault')
    p = imp(world, folder / 'force.csv', photos=folder / 'photos', vault=vault, expect=5)
    check(p['photos']['bad'] == 1 and '--photo-fit' in p['problems'][0]['reason'], 'refused, and what to do')
    done = imp(world, folder / 'force.csv', '--photo-fit', photos=folder / 'photos', vault=vault)
    check(done['photos']['taken'] == done['photos']['scaled'] == 1, 'scaled')


pictures.need_judges()
warnings.simplefilter('ignore')  # PIL's, of the photo whose EXIF is broken
world = World(records=12, synth=('--bad', '--photos', 'mixed'))
ROW_COLUMN.update({c['field']: c['column'] for c in world.manifest['columns'] if c['field']})
vault = new_vault(world, 'bad-vault')
bad, cells = bad_rows(world, vault)
bad = fitted(world, vault)
with open(world.dir / 'bad-refs.csv', newline='') as f:
    served(world, vault, bad, {int(r['row']): r['ref'] for r in csv.DictReader(f)})
mend(world, vault, bad, cells)
files(world)
everyday(world)
dates(world)
photo_key(world)
large(world)
print('imports take what is good and say what is not')
