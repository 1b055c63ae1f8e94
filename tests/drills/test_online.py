# SPDX-License-Identifier: MIT
"""Online grants in an incident: what the key desk released was readable, what it did not was not; and what its log is worth."""
import json
import os
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from force import DAY, Force, check  # noqa: E402


class Case:
    """A supplier with an online grant of ten records; the desk's log is empty but for its beginning."""

    def __init__(self, f, refs, gid, manifest):
        self.f, self.refs, self.gid, self.manifest = f, refs, gid, manifest
        self.home = f.dir / 'home'
        self.log = self.home / 'station/log'
        self.pics = [r for r in refs if 'photo' in f.images[r]]
        self.asked = 0

    @staticmethod
    def make(folder):
        f = Force(folder, records=12, seed=5)
        f.set_day(2)
        home = f.station('printer', 'home')
        f.set_day(3)
        refs = f.refs[:10]
        gid, manifest = f.grant(home, 'cards', refs, ['name_on_card', 'rank', 'warrant_no', 'photo'], until='+20d', release='online')
        return Case(f, refs, gid, manifest)

    def fork(self, name):
        return Case(Force(self.f.dir.parent / name, template=self.f), self.refs, self.gid, self.manifest)

    def desk(self, *entries, until=39.99, store='desk'):
        """Entries of the desk: (day, line)."""
        lines = []
        for day, line in entries:
            lines += [f'at {self.f.time(day) * 1000000}', line]
        self.f.write_desk_log([f'at {self.f.time(2.5) * 1000000}', *lines, f'at {self.f.time(until) * 1000000}', 'time - - - - ok', 'seal'], store)

    def station(self, *entries):
        lines = []
        for day, line in entries:
            lines += [f'at {self.f.time(day) * 1000000}', line]
        self.f.write_log(self.home, [*lines, 'seal'])

    def ask(self, *args, vault=None, scope=('--all',)):
        self.asked += 1
        out = self.f.dir / f'asked-{self.asked}'
        p = self.f.keytool_now('audit', 'exposure', '-q', '--vault', vault or self.f.vault, *scope, *args, '-o', out)
        check(p.stderr == '', p.stderr)
        self.summary = json.loads((out / 'summary.json').read_text())
        self.codes = {d['code'] for level in ('assumptions', 'doubts') for d in self.summary[level]}
        self.out = out
        return {(r['ref'], r['part']): (int(r['tier']), r['evidence']) for r in self.f.rows(out)}


def released(template):
    c = template.fork('released')
    f, gid, refs, pics = c.f, c.gid, c.refs, c.pics
    c.desk((4, f'release {gid} {refs[0]},{refs[1]} text - ok'), (5, f'release {gid} {pics[0]} image - ok'), (23.1, f'expire {gid} - - - ok prekey_1/0'))
    c.station((4.5, f'open {gid} {refs[0]} text rank ok'))
    got = c.ask('--log', f.dir / 'desk', '--log', c.log)
    check(got[refs[0], 'text'] == (2, 'log') and got[refs[1], 'text'] == (1, 'released') and got[pics[0], 'image'] == (1, 'released'), f'{got}')
    check(got[refs[2], 'text'] == (0, 'not-released') and got[pics[1], 'image'] == (0, 'not-released') and got[f.refs[11], 'text'] == (0, 'none'), f'{got}')
    check({'online-from-release', 'desk-log'} <= c.codes and not {'online-not-ended', 'desk-log-missing'} & c.codes, f'{c.codes}')
    check([g['unreleased'] for g in c.summary['grants']] == ['unreadable'] and c.summary['inputs']['logs'][-1]['releases'] == 2, f'{c.summary["inputs"]["logs"]}')
    words = (c.out / 'ico-draft.md').read_text()
    check('fetched from our own key desk' in words and gid not in words, words)
    number = next(t['text']['warrant_no'] for t in f.truth if t['ref'] == refs[2])
    p = f.keytool_now('record', 'affected', '--warrant-no', number, '--from', c.out / 'exposed.csv', '--key', f.key, f.vault)
    check('could not be read (granted online, and the key desk never released it)' in p.stdout, p.stdout)
    # The computer is stolen: what was released there is presumed read, the rest was never to be had; for ever, since the key is gone.
    got = c.ask('--log', f.dir / 'desk/log', '--log', c.log, '--host-compromised-at', f.text(f.time(10)))
    check(got[refs[1], 'text'] == (2, 'presumed-compromised') and got[refs[2], 'text'] == (0, 'not-released'), f'{got}')
    # A copy of the desk's log that has the destruction in it speaks for the grant, however old it is.
    copy = f.dir / 'copy'
    shutil.copytree(f.dir / 'desk/log', copy)
    (copy / 'handed-in').touch()
    got = c.ask('--log', copy, '--log', c.log, scope=('--grant', gid))
    check(got[refs[2], 'text'] == (0, 'not-released') and len(got) == 20, f'{got}')
    # Its own pages.
    p = f.keytool_now('audit', 'verify', '--vault', f.vault, f.dir / 'desk/log')
    check('desk' in p.stdout and 'NOT checked' not in p.stdout, p.stdout)
    p = f.keytool_now('audit', 'verify', '--vault', f.vault, f.dir / 'other-desk/log', expect=3)
    check('signed by none of the keys' in p.stdout + p.stderr, p.stdout + p.stderr)
    p = f.keytool_now('audit', 'report', '-q', '--json', '--vault', f.vault, '--log', f.dir / 'desk', '-o', f.dir / 'report.html')
    check(f'"{gid}"' in p.stdout and '"released": 3' in p.stdout.replace('":3', '": 3'), p.stdout[:3000])


def without(template):
    """Whatever the desk's log cannot show counts as if the grant were offline."""
    c = template.fork('without')
    f, gid, refs = c.f, c.gid, c.refs
    c.desk((4, f'release {gid} {refs[0]} text - ok'), until=20)
    c.station((4.5, f'open {gid} {refs[0]} text rank ok'))
    everything = (1, 'granted-online')
    for args, code in (((), 'desk-log-missing'), (('--log', f.dir / 'other-desk/log'), 'log-of-unknown-desk'), (('--log', f.dir / 'desk/log'), 'desk-log-ends-early')):
        got = c.ask('--log', c.log, *args)
        check(code in c.codes and got[refs[2], 'text'] == everything and got[refs[0], 'text'] == (2, 'log'), f'{code}: {c.codes} {got}')
        check(c.summary['grants'][0]['unreleased'].startswith('presumed readable'), f'{c.summary["grants"]}')
    got = c.ask('--log', f.dir / 'desk/log')
    check(got[refs[2], 'text'] == (2, 'presumed-no-log'), f'with no log of the station either: {got[refs[2], "text"]}')
    damaged = f.dir / 'damaged'
    shutil.copytree(f.dir / 'desk/log', damaged)
    path = next(damaged.glob('entries-*'))
    path.write_bytes(path.read_bytes().replace(refs[0].encode(), refs[1].encode(), 1))
    got = c.ask('--log', damaged, '--log', c.log)
    check('desk-log-not-good' in c.codes and got[refs[2], 'text'] == everything and got[refs[1], 'text'] == (1, 'released'), f'{c.codes} {got}')
    # Goes on, twice: what is longer and does not contain the other may hold anything.
    shutil.copytree(f.dir / 'desk', f.dir / 'forked')
    c.desk((24, f'expire {gid} - - - ok prekey_1/0'))
    got = c.ask('--log', f.dir / 'desk/log', '--log', c.log)
    check(got[refs[2], 'text'] == (0, 'not-released'), f'{got}')
    c.desk((21, f'release {gid} {refs[5]} text - ok'), (22, f'release {gid} {refs[6]} text - ok'), store='forked')
    got = c.ask('--log', f.dir / 'desk/log', '--log', f.dir / 'forked/log', '--log', c.log)
    check('desk-log-contradicted' in c.codes and got[refs[2], 'text'] == everything and got[refs[5], 'text'] == (1, 'released'), f'{c.codes} {got}')
    # The desk was in doubt of its store while the grant lived: it may have been put back, and lack what it released before.
    d = template.fork('doubted')
    d.desk((4, f'release {gid} {refs[0]} text - ok'), (6, 'time - - - - confirmed'), (24, f'expire {gid} - - - ok prekey_1/0'))
    d.station((4.5, f'open {gid} {refs[0]} text rank ok'))
    got = d.ask('--log', d.f.dir / 'desk/log', '--log', d.log)
    check('desk-doubted' in d.codes and got[refs[2], 'text'] == everything, f'{d.codes} {got}')
    # A read of what was never released: that log is not the whole truth.
    c.station((25, f'open {gid} {refs[3]} text rank ok'))
    got = c.ask('--log', f.dir / 'desk/log', '--log', c.log)
    check('read-not-released' in c.codes and got[refs[3], 'text'] == (2, 'log') and got[refs[2], 'text'] == everything, f'{c.codes} {got}')


def all_text(template):
    c = template.fork('all')
    f, gid, refs, pics = c.f, c.gid, c.refs, c.pics
    c.desk((4, f'release {gid} all:{c.manifest} text - ok'), (38, f'expire - - - - ok prekey_1/all'))
    c.station((5, f'open {gid} all:{c.manifest} text name_on_card,rank ok'))
    got = c.ask('--log', f.dir / 'desk', '--log', c.log)
    check(all(got[r, 'text'] == (2, 'log') for r in refs) and got[pics[0], 'image'] == (0, 'not-released') and 'online-not-ended' not in c.codes, f'{got} {c.codes}')


def live(template):
    """Still there: nothing more yet, and it is said that there can be."""
    c = template.fork('live')
    f, refs = c.f, c.refs
    f.set_day(30)
    gid, _ = f.grant(c.home, 'later', refs[:4], ['rank'], until='+20d', release='online')
    c.desk((31, f'release {gid} {refs[0]} text - ok'))
    c.station((31, f'open {gid} {refs[0]} text rank ok'))
    got = c.ask('--log', f.dir / 'desk', '--log', c.log)
    check('online-not-ended' in c.codes and got[refs[0], 'text'] == (2, 'log') and got[refs[1], 'text'] == (0, 'not-released'), f'{c.codes} {got}')
    check('unreadable until now' in [g['unreleased'] for g in c.summary['grants']], f'{c.summary["grants"]}')
    # An offline grant of the same: the desk's word changes nothing.
    f.set_day(32)
    f.grant(c.home, 'cards-again', refs[1:2], ['rank'])
    got = c.ask('--log', f.dir / 'desk', '--log', c.log)
    check(got[refs[1], 'text'] == (1, 'granted') and got[refs[2], 'text'] == (0, 'not-released'), f'{got}')


def lost_vault(template):
    """The vault is put back to before a grant: the desk knows it, and what it gave out."""
    c = template.fork('lost')
    f, refs = c.f, c.refs
    old = f.dir / 'old.backup'
    f.set_day(29)
    f.keytool('vault', 'backup', '-q', f.vault, old)
    f.set_day(30)
    gid, manifest = f.grant(c.home, 'unknown', refs[:4], ['rank', 'photo'], until='+20d', release='online')
    c.desk((23, f'expire {c.gid} - - - ok prekey_1/0'), (31, f'release {gid} {refs[0]} text - ok'), (32, f'release {gid} all:{manifest} text - ok'), (33, f'release {gid} {c.pics[0]} image - ok'))
    c.station((33, f'open {gid} {refs[0]} text rank ok'))
    got = c.ask('--log', f.dir / 'desk', '--log', c.log, vault=old)
    # A list that nobody knows may have been anybody's; of pictures it is known which. To whom it went, these entries do not say.
    check(got[refs[0], 'text'] == (2, 'log+presumed-no-log') and got[refs[9], 'text'] == got[c.pics[0], 'image'] == (2, 'presumed-no-log'), f'{got}')
    check(got[c.pics[1], 'image'] == (0, 'not-released') and 'unknown-grant' in c.codes, f'{got} {c.codes}')


def main():
    with tempfile.TemporaryDirectory(prefix='vaultfs-online-') as tmp:
        os.environ['XDG_RUNTIME_DIR'] = tmp
        template = Case.make(pathlib.Path(tmp) / 'template')
        released(template)
        without(template)
        all_text(template)
        live(template)
        lost_vault(template)
    print('ok')


main()
