# SPDX-License-Identifier: MIT
"""Exposure, case by case, and what follows from it: the files, the list of people, the answer to one of them, hostile tables, wrong usage."""
import csv
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import stat
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from force import DAY, DAYS, Force, check, parse_time  # noqa: E402

HEADER = ['ref', 'part', 'tier', 'evidence', 'grant', 'fields', 'first_read', 'last_read']


def tiers(f, out):
    return {(r['ref'], r['part']): (int(r['tier']), r['evidence']) for r in f.rows(out)}


def codes(out, level='doubts'):
    return {d['code'] for d in json.loads((out / 'summary.json').read_text())[level]}


def outputs(f, home, gid):
    """What is written, how, and that nothing in it names anybody."""
    out = f.dir / 'first'
    out.mkdir()  # an empty folder is fine
    p = f.keytool_now('audit', 'exposure', '--vault', f.vault, '--log', home / 'station/log', '--all', '-o', out)
    check('read or presumed read' in p.stdout and 'Wrote' in p.stderr, p.stdout + p.stderr)
    check(stat.S_IMODE(out.stat().st_mode) == 0o700, 'the folder is for its owner')
    check(sorted(x.name for x in out.iterdir()) == ['exposed.csv', 'ico-draft.md', 'officer-notice.md', 'summary.json'], 'four files')
    check(all(stat.S_IMODE(x.stat().st_mode) == 0o600 for x in out.iterdir()), 'files are for their owner')
    check(not list(f.dir.glob('first.tmp-*')), 'nothing is left beside it')
    p = f.keytool_now('audit', 'exposure', '--vault', f.vault, '--all', '-o', out, expect=1)
    check('something in it already' in p.stderr, p.stderr)
    summary = json.loads((out / 'summary.json').read_text())
    check(summary['exposed_csv_sha256'] == hashlib.sha256((out / 'exposed.csv').read_bytes()).hexdigest(), 'the hash of the table')
    check(summary['inputs']['logs'][0]['used'] and summary['inputs']['logs'][0]['state'] == 'good', 'the log was used')
    text = (out / 'exposed.csv').read_text()
    check(text.splitlines()[0].split(',') == HEADER and not re.search(r'(^|,)["\']?[=+@\t-]', text, re.M), 'nothing for a spreadsheet to run')
    everything = ''.join(x.read_text() for x in out.iterdir())
    for t in f.truth:
        for field in ('name_on_card', 'surname', 'warrant_no', 'notify_to'):
            value = t['text'].get(field) or ''
            check(len(value) < 5 or value not in everything, f'{field} of somebody is in the outputs')
    for name in ('ico-draft.md', 'officer-notice.md'):
        words = (out / name).read_text()
        check(not any(t['ref'] in words for t in f.truth), f'{name} has a ref')
        check('[TO BE COMPLETED' in words and 'Northshire Police' in words, name)
        check(not re.search(r'\d\d:\d\d(?! (UTC|hours))', words), f'{name} has a time without its zone')
    p = f.keytool_now('audit', 'exposure', '--json', '-q', '--vault', f.vault, '--log', home / 'station/log', '--grant', gid, '-o', f.dir / 'second')
    check(json.loads(p.stdout) == json.loads((f.dir / 'second/summary.json').read_text()), '--json is the summary')
    return out


def regulator(f, home):
    aware = f.now - 3600 * 10
    f.exposure(f.dir / 'ico', '--all', '--aware-at', f.text(aware), '--host-compromised-at', f.text(aware - 3600))
    words = (f.dir / 'ico/ico-draft.md').read_text()
    for part in ('33(3)(a)', '33(3)(b)', '33(3)(c)', '33(3)(d)', '72 hours', 'Approximate number of data subjects', 'Approximate number of records', 'Categories of data'):
        check(part in words, f'{part} is not in the draft')
    check('(6' in words and 'hours from now' in words, 'the clock runs')
    check('--' not in words.replace('|---|---:|---:|---:|', '') and 'everything else' not in words and 'counted as the worse' not in words, 'nothing for the force alone, nothing that is false')
    check('- Not granted to any computer of a supplier: ' in words and 'upper limits' in words and 'warrant number' in words, words)
    f.exposure(f.dir / 'ico-scoped', '--device', 'printer', '--aware-at', 'now', '--since', f.text(f.time(1)))
    words = (f.dir / 'ico-scoped/ico-draft.md').read_text()
    check('- Not granted to the computers in question: ' in words and 'upper limits' not in words and 'can be higher' in words, words)
    f.exposure(f.dir / 'late', '--all', '--aware-at', f.text(f.now - 3600 * 100))
    check('reasons for the delay' in (f.dir / 'late/ico-draft.md').read_text(), 'a late report says why')
    f.exposure(f.dir / 'open', '--all')
    check('**We became aware of it:** [TO BE COMPLETED' in (f.dir / 'open/ico-draft.md').read_text(), 'an open clock is marked')
    notice = (f.dir / 'ico/officer-notice.md').read_text()
    for part in ('tier 2', 'tier 1', 'tier 0', 'could not be read', 'pretend to be you', 'password', 'vetting'):
        check(part in notice, f'{part} is not in the notice')


def statements(f, home, ref):
    """One statement alone changes nothing, both do; a log that goes on contradicts them."""
    log = home / 'station/log'
    at = f.text(f.time(35))
    for n, (flags, tier, level, code) in enumerate((
            ((), 2, 'assumptions', 'host-compromised'),
            (('--device-off',), 2, 'assumptions', 'statement-incomplete'),
            (('--passphrase-safe',), 2, 'assumptions', 'statement-incomplete'),
            (('--device-off', '--passphrase-safe'), 1, 'assumptions', 'statement-recorded'),
            (('--passphrase-safe',), 2, 'doubts', 'passphrase-not-visible'))):
        out = f.dir / f'statement{n}'
        f.exposure(out, '--all', '--log', log, '--host-compromised-at', at, *flags)
        check(tiers(f, out)[ref, 'image'][0] == tier, f'{flags}: {tiers(f, out)[ref, "image"]}')
        check(code in codes(out, level), f'{flags}: {codes(out, level)}')
    out = f.dir / 'contradicted'
    f.exposure(out, '--all', '--log', log, '--host-compromised-at', f.text(f.time(9)), '--device-off', '--passphrase-safe')
    check(tiers(f, out)[ref, 'image'] == (2, 'presumed-compromised') and 'statement-contradicted' in codes(out), 'the log goes on')
    out = f.dir / 'without-time'
    f.exposure(out, '--all', '--log', log, '--device-off', '--passphrase-safe')
    check('statement-without-time' in codes(out, 'assumptions'), 'a statement without a time')


def bad_logs(f, home, ref):
    """Whatever is wrong with a log raises the tier of what it cannot speak for."""
    log = home / 'station/log'

    def ask(name, *logs):
        out = f.dir / f'bad-{name}'
        f.exposure(out, '--all', *[a for path in logs for a in ('--log', path)])
        return tiers(f, out)[ref, 'image'], codes(out)

    check(ask('good', log)[0] == (1, 'granted'), 'with the whole log')
    copy = f.dir / 'copy'

    def spoiled(name, change):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(log, copy)
        change(copy)
        return ask(name, copy)

    def flip(path, at):
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        path.write_bytes(data)

    entries = next(log.glob('entries-*')).name
    size = (log / entries).stat().st_size
    for at in (10, size // 3, size // 2, size - 10):
        got, doubts = spoiled(f'flip{at}', lambda c: flip(c / entries, at))
        check(got == (2, 'presumed-damaged-log') and 'log-damaged' in doubts, f'a flipped byte at {at}: {got} {doubts}')
    got, _ = spoiled('checkpoints', lambda c: flip(c / 'checkpoints', 200))
    check(got[0] == 2, f'a flipped checkpoint: {got}')
    got, doubts = spoiled('origin', lambda c: flip(c / 'origin', 60))
    check(got == (2, 'presumed-no-log') and doubts & {'log-unreadable', 'log-of-unknown-device'}, f'another origin: {got} {doubts}')
    got, _ = spoiled('no-checkpoints', lambda c: (c / 'checkpoints').unlink())
    check(got[0] == 2 or 'not-sealed' in _, f'no checkpoints: {got} {_}')
    garbage = f.dir / 'garbage.log'
    garbage.write_bytes(os.urandom(5000))
    got, doubts = ask('garbage', garbage)
    check(got == (2, 'presumed-no-log') and 'log-unreadable' in doubts, f'no log at all: {got} {doubts}')
    check(ask('none')[0] == (2, 'presumed-no-log'), 'nothing')
    p = f.keytool_now('audit', 'exposure', '--vault', f.vault, '--log', f.dir / 'nowhere', '--all', '-o', f.dir / 'nowhere-out', expect=1)
    check('nowhere' in p.stderr and not (f.dir / 'nowhere-out').exists(), 'a log that is not there was mistyped')
    # A hand-in as a file, and cut anywhere.
    f.keytool('station', 'handin', '-q', home / 'station', '-o', f.dir / 'whole.log')
    check(ask('file', f.dir / 'whole.log')[0] == (2, 'presumed-after-handin'), 'a file speaks up to its end')
    whole = (f.dir / 'whole.log').read_bytes()
    for n in (20, 400, len(whole) // 2, len(whole) - 1):
        (f.dir / 'part.log').write_bytes(whole[:n])
        check(ask(f'part{n}', f.dir / 'part.log')[0][0] == 2, f'cut at {n}')


def people(f, out, erased):
    """Names, protected officers first."""
    notify = f.dir / 'notify.csv'
    p = f.keytool_now('record', 'notify-list', '--from', out / 'exposed.csv', '--key', f.key, '-o', notify, f.vault)
    check('people to tell' in p.stderr and stat.S_IMODE(notify.stat().st_mode) == 0o600, p.stderr)
    with open(notify, newline='', encoding='utf-8') as stream:
        rows = list(csv.DictReader(stream, strict=True))
    want = {}
    for r in f.rows(out):
        want[r['ref']] = max(want.get(r['ref'], 0), int(r['tier']))
    check({r['ref']: int(r['tier']) for r in rows} == {k: v for k, v in want.items() if v > 0}, 'everybody above tier 0, and nobody else')
    order = {'COVERT': 0, 'RESTRICTED': 1, 'not known': 2, 'STANDARD': 3}
    ranked = [(order[r['protect']], -int(r['tier'])) for r in rows]
    check(ranked == sorted(ranked) and {r['protect'] for r in rows} == set(order), f'the order: {[(r["protect"], r["tier"]) for r in rows]}')
    truth = {t['ref']: t['text'] for t in f.truth}
    for r in rows:
        t = truth[r['ref']]
        if r['ref'] in erased:
            check(r['remark'].startswith('erased on ') and 'UTC' in r['remark'] and r['name_on_card'] == '', f'an erased record: {r}')
            continue
        check(r['protect'] == (t.get('protect') or 'STANDARD'), f'{r} {t.get("protect")}')
        for field in ('name_on_card', 'rank', 'warrant_no', 'notify_to'):
            have, want = r[field], t.get(field) or ''
            check(have == ("'" + want if want[:1] in '=+-@' and want else want), f'{field}: {have!r} {want!r}')
    raw = notify.read_text(encoding='utf-8')
    check(not re.search(r'(^|,)"[=+@\t-]', raw, re.M), 'a spreadsheet would run a cell')
    seen = [e for e in f.entries(f.vault / 'log') if e['event'] == 'view']
    check(seen and set(seen[-1]['refs']) == {r['ref'] for r in rows} - erased and 'notify_to' in seen[-1]['fields'], 'who looked at whom is in the log')
    f.keytool_now('record', 'notify-list', '--from', out / 'exposed.csv', '--key', f.key, '-o', notify, f.vault, expect=1)
    f.keytool_now('record', 'notify-list', '--from', out / 'exposed.csv', '--force', '--key', f.key, '-o', notify, f.vault)


def one_person(f, out, erased):
    rows = {}
    for r in f.rows(out):
        rows.setdefault(r['ref'], {})[r['part']] = r
    words = {0: 'Not affected', 1: 'Affected (tier 1)', 2: 'Affected (tier 2)'}
    for t in f.truth:
        number = t['text']['warrant_no']
        gone = t['ref'] in erased
        p = f.keytool_now('record', 'affected', '--warrant-no', number, '--from', out / 'exposed.csv', '--key', f.key, f.vault, expect=1 if gone else 0)
        if gone:
            check('cannot be answered here' in p.stdout and 'Not affected' not in p.stdout, p.stdout)
            d = json.loads(f.keytool_now('record', 'affected', '--json', '--warrant-no', number, '--from', out / 'exposed.csv', '--key', f.key, f.vault, expect=1).stdout)
            check(d['affected'] is None and d['tier'] is None and d['known'] is False, f'{d}')
            affected = [r for r in erased if max(int(x['tier']) for x in rows[r].values()) > 0]
            check(d['erased_affected'] == len(affected) and (not affected or 'this may be one of them' in p.stdout), f'{d} {affected}')
            continue
        mine = rows[t['ref']]
        tier = max(int(r['tier']) for r in mine.values())
        check(p.stdout.startswith(words[tier]), f'{p.stdout} {mine}')
        d = json.loads(f.keytool_now('record', 'affected', '--json', '--warrant-no', number, '--from', out / 'exposed.csv', '--key', f.key, f.vault).stdout)
        check(d['tier'] == tier and d['affected'] == (tier > 0) and d['ref'] == t['ref'], f'{d}')
        for part in ('text', 'image'):
            check(d[part]['tier'] == int(mine[part]['tier']) and d[part]['fields'] == mine[part]['fields'].split() and (d[part]['first_read'] or '') == mine[part]['first_read'], f'{d} {mine}')
    p = f.keytool_now('record', 'affected', '--warrant-no', 'NOBODY1', '--from', out / 'exposed.csv', '--key', f.key, f.vault, expect=1)
    check('no record in this vault' in p.stdout and 'NOBODY1' not in (f.vault / 'log').joinpath(next((f.vault / 'log').glob('entries-*')).name).read_text(), 'a number that does not exist is not kept')


def hostile_tables(f, out):
    """What is not exactly what was written is refused, with the line; the summary beside it shows what is missing."""
    folder = f.dir / 'hostile'
    folder.mkdir()
    text = (out / 'exposed.csv').read_text()
    lines = text.splitlines()

    def offer(data, expect, *words, force=()):
        path = folder / 'exposed.csv'
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        p = f.keytool_now('record', 'affected', *force, '--warrant-no', f.truth[0]['text']['warrant_no'], '--from', path, '--key', f.key, f.vault, expect=expect)
        for w in words:
            check(w in p.stderr, f'{w}: {p.stderr}')
        return p

    offer(text, 0, 'no summary.json')
    offer('\ufeff' + text.replace('\n', '\r\n'), 0)
    quoted = io.StringIO()
    csv.writer(quoted, quoting=csv.QUOTE_ALL, lineterminator='\n').writerows(csv.reader(lines))
    offer(quoted.getvalue(), 0)
    for bad, why in (
            ('', 'empty'), (text[:-1], 'cut short'), (text.replace('tier', 'level', 1), 'line 1, column tier'), (lines[0] + ',x\n', 'line 1'),
            ('\n'.join([lines[0], lines[2], lines[1]] + lines[3:]) + '\n', None), ('\n'.join([lines[0], lines[3], lines[4], lines[1], lines[2]]) + '\n', 'not in the order'),
            ('\n'.join([lines[0], lines[1], lines[1]]) + '\n', 'stands twice'), ('\n'.join(lines[:2]) + '\n', 'only one of its two parts'),
            (text.replace(',text,', ',words,', 1), 'column part'), (re.sub(r',[012],', ',3,', text, count=1), 'column tier'),
            (re.sub(r'^[A-Z2-7]{8}', '2.22E+26', text, count=1, flags=re.M), 'column ref'), (text.replace(',granted,', ',=cmd(),', 1), 'column evidence'),
            (text.replace(',none,', ',log,', 1), 'column evidence'), (text.replace('rank', 'rang', 1), 'column fields'),
            (re.sub(r'T\d\d:', 'T99:', text, count=1), 'not a time'), (text.replace('\n', '\n\n', 1), 'line 2'), (text.replace(',', ',"', 1), 'line 1'),
            (b'\x00' * 200 + b'\n', 'line 1'), (text.encode().replace(b'rank', b'\xff\xfe', 1), 'column fields'), ('a' * 100000 + '\n', 'line 1')):
        if why is None:
            offer(bad, 0)  # the two parts of one record in the other order say the same
        else:
            offer(bad, 1, why)
    shutil.copy(out / 'summary.json', folder)
    offer(text, 0)
    doc = json.loads((out / 'summary.json').read_text())
    doc['inputs']['vault_id'] = doc['inputs']['vault_id'][::-1]
    (folder / 'summary.json').write_text(json.dumps(doc))
    offer(text, 4, 'made of another vault')
    shutil.copy(out / 'summary.json', folder)
    short = '\n'.join(lines[:-2]) + '\n'
    offer(short, 3, 'people may be missing')
    offer(short, 0, force=('--force',))
    (folder / 'summary.json').write_text('{}')
    offer(text, 3, 'not a summary')
    # Every byte of a small table changed: an answer or one line, never a crash.
    small = ('\n'.join(lines[:5]) + '\n').encode()
    for at in range(0, len(small), 7):
        for bit in (0x01, 0x20, 0x80):
            data = bytearray(small)
            data[at] ^= bit
            (folder / 'exposed.csv').write_bytes(data)
            p = f.keytool_now('record', 'affected', '--force', '--warrant-no', 'X', '--from', folder / 'exposed.csv', '--key', f.key, f.vault, expect=None)
            check(p.returncode in (0, 1) and len(p.stderr.splitlines()) <= 1, f'byte {at}: {p.returncode} {p.stderr}')


def lost_vault(f, home):
    """A backup, and the log of the vault that was lost: a grant that only the log names is counted."""
    backup = f.dir / 'before.backup'
    f.keytool('vault', 'backup', '-q', f.vault, backup)
    f.set_day(20)
    left = [r for r in f.refs if r not in {x['ref'] for x in f.rows(f.dir / 'first') if x['grant']}]
    check(left, 'somebody was never granted')
    f.grant(home, 'later', left, ['rank'])
    out = f.dir / 'lost1'
    f.keytool_now('audit', 'exposure', '-q', '--vault', backup, '--log', home / 'station/log', '--all', '-o', out)
    check(tiers(f, out)[left[0], 'text'] == (0, 'none') and 'from-backup' in codes(out), 'the backup does not know it, and says that it may not')
    path = [x['path'] for x in json.loads((out / 'summary.json').read_text())['inputs']['logs']]
    check(not any('tmp' in p and 'scratch' in p for p in path), f'{path}')
    out = f.dir / 'lost2'
    f.keytool_now('audit', 'exposure', '-q', '--vault', backup, '--log', home / 'station/log', '--log', f.vault / 'log', '--all', '-o', out)
    check(tiers(f, out)[left[0], 'text'] == (2, 'presumed-no-log') and 'unknown-grant' in codes(out), f'the log of the lost vault names it: {tiers(f, out)[left[0], "text"]}')
    # The same by a database put back under a log that goes on: the vault's own log names what it does not know.
    old = f.dir / 'put-back'
    shutil.copytree(f.vault, old)
    f.set_day(21)
    f.grant(home, 'latest', left, ['surname'])
    shutil.rmtree(old / 'log')
    shutil.copytree(f.vault / 'log', old / 'log')
    out = f.dir / 'lost3'
    f.keytool_now('audit', 'exposure', '-q', '--vault', old, '--log', home / 'station/log', '--all', '-o', out)
    row = [r for r in f.rows(out) if r['ref'] == left[0] and r['part'] == 'text'][0]
    check(set(row['fields'].split()) >= {'rank'} and 'unknown-grant' in codes(out), f'{row} {codes(out)}')


def renewals_and_windows(f):
    """A grant is asked about with all its renewals, whichever of them is named; a repeat stands for opens up to two minutes before it."""
    f.set_day(22)
    home = f.station('second', 'home2')
    refs = [r for r in f.refs if 'photo' in f.images[r]][:4]
    f.set_day(23)
    first, _ = f.grant(home, 'renewed', refs, ['rank', 'photo'], expect=None)
    ids = [first]
    for n in range(2):
        f.set_day(24 + n)
        out = home / f'n{n}.grant'
        f.keytool('grant', 'renew', '-q', '--until', '+9d', '--no-handin', '--include-protected', '--key', f.key, '-o', out, ids[-1], f.vault)
        ids.append(f.grant_id(out)[0])
    at = f.time(30)
    f.write_log(home, [f'at {at * 1000000}', f'open {ids[0]} {refs[0]} text rank ok', f'open {ids[1]} {refs[1]} text rank ok', f'open {ids[2]} {refs[2]} text rank ok',
                       f'at {(at + 60) * 1000000}', f'repeat {ids[2]} {refs[3]} text rank ok', 'seal'])
    for n, gid in enumerate(ids):
        out = f.dir / f'family{n}'
        f.exposure(out, '--grant', gid, '--log', home / 'station/log')
        got = tiers(f, out)
        check(all(got[r, 'text'] == (2, 'log') for r in refs) and set(r for r, _ in got) == set(refs), f'asked about number {n}: {got}')
    for late, want in ((0, (2, 'log')), (59, (2, 'log')), (-3660, (2, 'log')), (-3661, (1, 'log-outside-window'))):  # a clock may be an hour wrong without a trace
        out = f.dir / f'window{late}'
        f.exposure(out, '--grant', first, '--log', home / 'station/log', '--until', f.text(at + late), '--since', f.text(at - 9000))
        check(tiers(f, out)[refs[3], 'text'] == want, f'{late}: {tiers(f, out)[refs[3], "text"]}')
        check('question-restricted' in codes(out, 'assumptions'), 'the summary says so')
    out = f.dir / 'window-since'
    f.exposure(out, '--grant', first, '--log', home / 'station/log', '--since', f.text(at + 3630))
    check(tiers(f, out)[refs[0], 'text'] == (1, 'log-outside-window') and tiers(f, out)[refs[3], 'text'] == (2, 'log'), 'reads before')
    # What is handed in speaks for the time before its end.
    f.set_day(31)
    f.keytool('station', 'handin', '-q', home / 'station', '-o', f.dir / 'second.log')
    for until, want in ((f.time(29), (1, 'granted')), (f.time(39), (2, 'presumed-after-handin'))):
        out = f.dir / f'handin{until}'
        f.exposure(out, '--grant', first, '--log', f.dir / 'second.log', '--until', f.text(until))
        check(tiers(f, out)[refs[0], 'image'] == want, f'{until}: {tiers(f, out)[refs[0], "image"]}')


def ask(f, name, *args):
    """Tiers, codes of the doubts, the summary."""
    out = f.dir / f'ask-{name}'
    f.exposure(out, '--all', *args)
    return tiers(f, out), codes(out), json.loads((out / 'summary.json').read_text())


def killed_mounts(template):
    """Of a mount that was never unmounted the last second may be missing: whatever was granted to it is presumed read (threat model, P7)."""
    f, home, gid, pics = template.fork('killed')
    log = home / 'station/log'
    f.write_log(home, [f'at {f.time(10) * 1000000}', 'mount - - - - ok', f'open {gid} {pics[0]} image photo ok', 'seal', 'unmount - - - - ok', 'seal'])
    got, doubts, _ = ask(f, 'unmounted', '--log', log)
    check(got[pics[1], 'image'] == (1, 'granted') and not doubts & {'mount-killed', 'mount-not-ended'}, f'an orderly end: {got[pics[1], "image"]} {doubts}')
    f.write_log(home, [f'at {f.time(11) * 1000000}', 'mount - - - - ok', f'open {gid} {pics[0]} image photo ok', 'seal', f'open {gid} {pics[1]} image photo ok', 'die'])
    segment = sorted(log.glob('entries-*'))[-1]
    lines = segment.read_bytes().splitlines(keepends=True)
    shutil.copytree(log, f.dir / 'nuls')
    segment.write_bytes(b''.join(lines[:f.sealed(log)]))  # the end that nobody sealed is gone
    got, doubts, summary = ask(f, 'cut', '--log', log)
    check(got[pics[1], 'image'] == (2, 'presumed-killed') and 'mount-not-ended' in doubts, f'killed, and its end taken away: {got[pics[1], "image"]} {doubts}')
    check(got[pics[0], 'image'] == (2, 'log+presumed-killed') and summary['devices'][0]['judged_by'] == 'presumed-killed', f'{got[pics[0], "image"]}')
    f.write_log(home, [f'at {f.time(12) * 1000000}', 'mount - - - - ok', 'unmount - - - - ok', 'seal'])
    got, doubts, summary = ask(f, 'again', '--log', log)
    check(got[pics[1], 'image'] == (2, 'presumed-killed') and 'mount-killed' in doubts, f'and mounted again: {got[pics[1], "image"]} {doubts}')
    check(any('never unmounted' in d['words'] and 'UTC' in d['words'] for d in summary['doubts']), f'{summary["doubts"]}')
    check('disclosed' not in json.dumps(summary), 'nobody is told that nothing was lost')
    f.set_day(13)
    f.keytool('station', 'handin', '-q', home / 'station', '-o', f.dir / 'killed.log')
    got, doubts, _ = ask(f, 'handin', '--log', f.dir / 'killed.log', '--until', f.text(f.time(12.2) - 7200))
    check(got[pics[1], 'image'][0] == 2, f'handed in: {got[pics[1], "image"]}')
    segment = sorted((f.dir / 'nuls').glob('entries-*'))[-1]
    sealed = sum(len(line) for line in lines[:f.sealed(f.dir / 'nuls')])
    segment.write_bytes(segment.read_bytes()[:sealed] + bytes(sum(map(len, lines)) - sealed))
    got, doubts, _ = ask(f, 'nuls', '--log', f.dir / 'nuls')
    check(got[pics[1], 'image'][0] == 2 and 'torn' in doubts, f'zeroes instead of entries: {got[pics[1], "image"]} {doubts}')


def forks(template):
    """One station that ran twice: whichever of the two logs is held to be the good one, the other shows that it does not speak for all."""
    f, home, gid, pics = template.fork('forks')
    log, other = home / 'station/log', home / 'clone/log'
    f.write_log(home, [f'at {f.time(10) * 1000000}', f'open {gid} {pics[0]} image photo ok', 'seal'])
    shutil.copytree(home / 'station', home / 'clone')
    f.write_log(home, [f'at {f.time(11) * 1000000}', f'open {gid} {pics[1]} image photo ok', 'seal'])
    f.write_log(home, [f'at {f.time(11.5) * 1000000}', f'open {gid} {pics[2]} image photo ok', 'seal'], station='clone')
    check(f.sealed(log) == f.sealed(other), 'of one length')
    got, doubts, _ = ask(f, 'equal', '--log', log, '--log', other)
    check(got[pics[4], 'image'] == (2, 'presumed-damaged-log') and 'log-damaged' in doubts, f'of one length: {got[pics[4], "image"]} {doubts}')
    f.write_log(home, [f'at {f.time(12) * 1000000}', f'open {gid} {pics[3]} image photo ok', 'seal'], station='clone')
    got, doubts, _ = ask(f, 'longer', '--log', log, '--log', other)
    check(got[pics[4], 'image'] == (2, 'presumed-damaged-log'), f'one is longer: {got[pics[4], "image"]}')
    # Three: the one in the middle is not what the longest, which is good, goes on from.
    shutil.copytree(home / 'clone', home / 'third')
    shutil.copytree(log, f.dir / 'first')
    f.write_log(home, [f'at {f.time(13) * 1000000}', f'open {gid} {pics[0]} image photo ok', 'seal', f'open {gid} {pics[0]} image photo ok', 'seal'])
    f.write_log(home, [f'at {f.time(13) * 1000000}', f'open {gid} {pics[0]} image photo ok', 'seal'], station='third')
    check(f.sealed(f.dir / 'first') < f.sealed(other) < f.sealed(log), 'in this order')
    got, doubts, _ = ask(f, 'middle', '--log', log, '--log', other, '--log', f.dir / 'first')
    check(got[pics[4], 'image'] == (2, 'presumed-damaged-log'), f'the one in the middle: {got[pics[4], "image"]}')
    # The end of one that nobody sealed is not in the other.
    f, home, gid, pics = template.fork('tails')
    log, other = home / 'station/log', home / 'clone/log'
    f.write_log(home, [f'at {f.time(10) * 1000000}', f'open {gid} {pics[0]} image photo ok', 'seal'])
    shutil.copytree(home / 'station', home / 'clone')
    f.write_log(home, [f'at {f.time(11) * 1000000}', f'open {gid} {pics[1]} image photo ok', 'die'])
    f.write_log(home, [f'at {f.time(12) * 1000000}', f'open {gid} {pics[3]} image photo ok', 'seal'], station='clone')
    got, doubts, summary = ask(f, 'tails', '--log', log, '--log', other)
    check(got[pics[1], 'image'] == (2, 'log-unsealed') and any(d['code'] == 'not-sealed' and str(log) in d['words'] for d in summary['doubts']), f'{got[pics[1], "image"]} {doubts}')


def unknown_grants(template):
    """However many there are, and whatever names them."""
    f, home, gid, pics = template.fork('strays')
    left = [r for r in f.refs if r not in template.granted][0]
    names = [''.join('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'[(i * 7 + j * (i // 32 + 1)) % 32] for j in range(12)) + 'AB' + 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'[i // 32] + 'A' for i in range(256)]
    many = [f'receive {g} all:{template.manifest} - - ok' for g in names]
    f.write_log(home, [f'at {f.time(10) * 1000000}', *many, 'seal'])
    got, doubts, _ = ask(f, 'many', '--log', home / 'station/log')
    check(got[left, 'text'] == (0, 'none') and 'unknown-grants-many' not in doubts, f'of a list that is known: {got[left, "text"]} {doubts}')
    f.write_log(home, [f'at {f.time(11) * 1000000}', f'receive {"Z" * 15}A - - - ok', 'seal'])
    got, doubts, _ = ask(f, 'too-many', '--log', home / 'station/log')
    check(got[left, 'text'] == (1, 'granted-unknown') and 'unknown-grants-many' in doubts, f'one more, of no list: {got[left, "text"]} {doubts}')
    for event, result in (('deny', 'EACCES'), ('expire', 'ok'), ('revoke', 'ok'), ('receive', 'EKEYREJECTED')):
        f, home, gid, pics = template.fork(f'stray-{event}')
        f.write_log(home, [f'at {f.time(10) * 1000000}', f'{event} {"Z" * 15}A - - - {result}', 'seal'])
        got, doubts, _ = ask(f, event, '--log', home / 'station/log')
        check(got[left, 'text'] == (1, 'granted-unknown') and 'unknown-grant' in doubts, f'{event}: {got[left, "text"]} {doubts}')


def odd_entries(template):
    """What no station writes: the worse of what it can mean."""
    f, home, gid, pics = template.fork('odd')
    f.write_log(home, [f'at {f.time(10) * 1000000}', f'open {gid} {pics[0]} text photo ok', f'open {gid} {pics[1]} image photo EIO', f'open {gid} {pics[2]} image rank ok', 'seal'])
    got, doubts, _ = ask(f, 'odd', '--log', home / 'station/log')
    check(got[pics[0], 'image'] == got[pics[0], 'text'] == (2, 'log'), f'a field that is not of the part: {got[pics[0], "image"]}')
    check(got[pics[2], 'image'] == got[pics[2], 'text'] == (2, 'log'), f'and the other way: {got[pics[2], "text"]}')
    check(got[pics[1], 'image'] == (2, 'log') and 'odd-result' in doubts, f'an opening that did not succeed: {got[pics[1], "image"]} {doubts}')
    f.set_day(11)
    second = f.station('second', 'home2')
    f.set_day(12)
    f.grant(second, 'other', [pics[0]], ['rank'])
    f.write_log(second, [f'at {f.time(13) * 1000000}', f'open {gid} {pics[3]} image photo ok', 'seal'])
    f.set_day(14)
    f.keytool('device', 'revoke', '--reason', 'done', '--key', f.key, '-o', second / 'd.revoked', 'second', f.vault)
    got, doubts, summary = ask(f, 'foreign', '--log', home / 'station/log', '--log', second / 'station/log')
    check(got[pics[3], 'image'] == (2, 'log') and 'grant-of-another' in doubts, f'{got[pics[3], "image"]} {doubts}')
    check([g['revoked_at'] is not None for g in summary['grants'] if g['known'] and g['revoked']] == [True], f'with its device: {summary["grants"]}')
    f.set_day(15)
    f.grant(f.station('second', 'home3'), 'anew', [pics[0]], ['rank'])
    p = f.keytool_now('audit', 'exposure', '--vault', f.vault, '--device', 'second', '-o', f.dir / 'namesakes')
    check(p.stdout.count('log of     second (enrolled ') == 2, f'a station that was made anew: {p.stdout}')
    # The log of another force, by mistake.
    other = Force(f.dir / 'other', records=4, seed=9)
    other.set_day(2)
    there = other.station('printer', 'home')
    other.set_day(3)
    theirs, manifest = other.grant(there, 'cards', other.refs, ['name_on_card'])
    other.write_log(there, [f'at {f.time(10) * 1000000}', f'receive {theirs} all:{manifest} - - ok', f'open {theirs} {other.refs[0]} text name_on_card ok', 'seal'])
    _, doubts, summary = ask(f, 'other-force', '--log', home / 'station/log', '--log', there / 'station/log')
    check('log-of-another-force' in doubts and summary['doubts'][0]['code'] == 'log-of-another-force', f'{[d["code"] for d in summary["doubts"]]}')


def clocks(template):
    """Times are the device's."""
    f, home, gid, pics = template.fork('ahead')
    log = home / 'station/log'
    f.write_log(home, [f'at {f.time(10) * 1000000 + 700000}', f'open {gid} {pics[0]} image photo ok', 'seal'])
    f.exposure(f.dir / 'first', '--all', '--log', log)
    shown = [r['last_read'] for r in f.rows(f.dir / 'first') if r['last_read']]
    check(len(shown) == 1, f'{shown}')
    got, _, _ = ask(f, 'shown', '--log', log, '--until', shown[0])
    check(got[pics[0], 'image'] == (2, 'log'), f'a time as it is shown: {got[pics[0], "image"]}')
    p = f.keytool_now('audit', 'show', '--until', shown[0], log)
    check(pics[0] in p.stdout, f'audit show --until a time as it is shown: {p.stdout}')
    f.write_log(home, [f'at {f.time(42) * 1000000}', f'open {gid} {pics[1]} image photo ok', 'seal'])
    got, doubts, _ = ask(f, 'ahead', '--log', log, '--since', f.text(f.time(9)), '--until', 'now')
    check(got[pics[1], 'image'] == (2, 'log') and 'clock-ahead' in doubts, f'an entry of a time to come: {got[pics[1], "image"]} {doubts}')
    f, home, gid, pics = template.fork('hour')
    f.write_log(home, [f'at {f.time(10) * 1000000}', f'open {gid} {pics[0]} image photo ok', 'step 3500', f'deny {gid} {pics[0]} image photo EIO', 'seal'])
    check(not any(e['event'] == 'clock' for e in f.entries(home / 'station/log')), 'a step of less than an hour is no entry')
    f.set_day(10 + 3600 / DAY)
    f.keytool('station', 'handin', '-q', home / 'station', '-o', f.dir / 'hour.log')
    got, doubts, _ = ask(f, 'hour', '--log', f.dir / 'hour.log', '--until', f.text(f.time(10) + 1800))
    check(got[pics[1], 'image'] == (2, 'presumed-after-handin') and 'after-handin' in doubts, f'what is handed in ends by a clock that is an hour wrong: {got[pics[1], "image"]}')
    # An admin's clock that was ahead: the grant is of a time to come, and was there all the same.
    f.set_day(41)
    later, _ = f.grant(home, 'ahead', [pics[0]], ['surname'], expect=None)
    row_out = f.dir / 'issued'
    f.exposure(row_out, '--grant', later, '--until', f.text(f.time(39)))
    check(tiers(f, row_out)[pics[0], 'text'] == (2, 'presumed-no-log'), f'{tiers(f, row_out)}')
    # A folder that ends long before the theft may be a backup of it.
    f, home, gid, pics = template.fork('early')
    f.write_log(home, [f'at {f.time(10) * 1000000}', f'open {gid} {pics[0]} image photo ok', 'seal'])
    stated = ('--log', home / 'station/log', '--host-compromised-at', f.text(f.time(12)), '--device-off', '--passphrase-safe')
    got, doubts, summary = ask(f, 'early', *stated)
    check(any(d['code'] == 'folder-ends-early' and ' 48 hours' in d['words'] for d in summary['doubts']), f'{summary["doubts"]}')
    (home / 'station/log/handed-in').touch()
    got, doubts, _ = ask(f, 'touched', *stated)
    check(got[pics[1], 'image'] == (2, 'presumed-after-handin') and 'folder-ends-early' not in doubts, f'{got[pics[1], "image"]} {doubts}')
    f.exposure(f.dir / 'now', '--all', '--host-compromised-at', 'now', '--aware-at', 'now')


class Template:
    """One supplier with one grant, before any log entry."""

    def __init__(self, folder):
        self.f = Force(folder, records=12, seed=5)
        self.f.set_day(2)
        home = self.f.station('printer', 'home')
        self.f.set_day(3)
        self.granted = self.f.refs[:10]
        self.gid, self.manifest = self.f.grant(home, 'cards', self.granted, ['name_on_card', 'rank', 'warrant_no', 'photo'])
        self.pics = [r for r in self.granted if 'photo' in self.f.images[r]]
        check(len(self.pics) >= 5, 'pictures')

    def fork(self, name):
        f = Force(self.f.dir.parent / name, template=self.f)
        return f, f.dir / 'home', self.gid, self.pics


def usage(f):
    v = ('--vault', f.vault, '-o', f.dir / 'never')
    for args, word in (
            ((), 'say what is asked about'), (('--all', '--device', 'printer'), 'one of'), (('--grant', 'X'), '16 characters'), (('--device', 'NO!'), 'no name'),
            (('--all', '--since', 'yesterday'), 'no time'), (('--all', '--since', '2026-11-21T17:00:00+01:00'), 'in UTC, with Z'), (('--all', '--since', 'now', '--until', '2020-01-01T00:00:00Z'), 'before'),
            (('--all', '--host-compromised-at', '+1d'), 'future'), (('--all', '--aware-at', '+1d'), 'future')):
        p = f.keytool_now('audit', 'exposure', *v, *args, expect=2)
        check(word in p.stderr, p.stderr)
    p = f.keytool_now('audit', 'exposure', *v, '--device', 'nobody', expect=1)
    check('nobody' in p.stderr, p.stderr)
    p = f.keytool_now('audit', 'exposure', *v, '--grant', 'AAAAAAAAAAAAAAAA', expect=1)
    check('AAAAAAAAAAAAAAAA' in p.stderr, p.stderr)
    f.keytool_now('audit', 'exposure', '--vault', f.dir / 'nowhere', '--all', '-o', f.dir / 'never', expect=1)
    check(not (f.dir / 'never').exists() and not list(f.dir.glob('never*')), 'a failure leaves nothing')
    broken = f.dir / 'broken.backup'
    f.keytool_now('vault', 'backup', '-q', f.vault, broken)
    data = bytearray(broken.read_bytes())
    data[len(data) // 2] ^= 1
    broken.write_bytes(data)
    f.keytool_now('audit', 'exposure', '--vault', broken, '--all', '-o', f.dir / 'never', expect=3)
    check(not list(f.dir.glob('never*')), 'a damaged backup leaves nothing')


def main():
    with tempfile.TemporaryDirectory(prefix='vaultfs-cases-') as tmp:
        os.environ['XDG_RUNTIME_DIR'] = tmp
        f = Force(pathlib.Path(tmp) / 'force', records=16, seed=5)
        f.set_day(2)
        home = f.station('printer', 'home')
        by_protect = {}
        for t in f.truth:
            by_protect.setdefault(t['text'].get('protect') or 'STANDARD', []).append(t['ref'])
        check(set(by_protect) == {'STANDARD', 'RESTRICTED', 'COVERT'}, f'the synthetic force has protected officers: {by_protect.keys()}')
        left_out = by_protect['STANDARD'][0]
        granted = [r for r in f.refs if r != left_out]
        f.set_day(3)
        gid, _ = f.grant(home, 'cards', granted, ['name_on_card', 'rank', 'warrant_no', 'photo'])
        pictured = [r for r in by_protect['STANDARD'][1:] if 'photo' in f.images[r]]
        at = f.time(10) * 1000000
        f.write_log(home, [f'at {at}', f'open {gid} {pictured[0]} text rank ok', f'open {gid} {pictured[1]} image photo ok', f'deny {gid} {pictured[2]} image photo EDQUOT', 'seal'])
        f.set_day(12)
        erased = {pictured[3]}
        f.keytool('record', 'erase', '--ref', pictured[3], '--reason-code', 'leaver', '--yes', '--key', f.key, f.vault)
        out = outputs(f, home, gid)
        got = tiers(f, out)
        check(got[pictured[0], 'text'] == (2, 'log') and got[pictured[0], 'image'] == (1, 'granted'), 'a text was read')
        check(got[pictured[1], 'image'] == (2, 'log') and got[pictured[1], 'text'] == (1, 'granted'), 'a picture was read')
        check(got[pictured[2], 'image'] == (1, 'granted'), 'what was denied was not read')
        check(got[left_out, 'text'] == got[left_out, 'image'] == (0, 'none'), 'who was not granted')
        check(got[pictured[3], 'text'] == (1, 'granted'), 'who was erased is not forgotten')
        regulator(f, home)
        statements(f, home, pictured[2])
        bad_logs(f, home, pictured[2])
        people(f, out, erased)
        one_person(f, out, erased)
        hostile_tables(f, out)
        usage(f)
        lost_vault(f, home)
        renewals_and_windows(f)
        template = Template(pathlib.Path(tmp) / 'template')
        killed_mounts(template)
        forks(template)
        unknown_grants(template)
        odd_entries(template)
        clocks(template)
    print('ok')


main()
