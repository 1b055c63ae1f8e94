# SPDX-License-Identifier: MIT
"""Seeded drills: test_exposure.py FIRST COUNT.

Each seed makes suppliers, grants, renewals, revocations, erasures and reads by chance over forty days, then an incident and whatever logs are left:
the folder, what was handed in, nothing, one that is damaged, cut, forked, somebody else's. exposed.csv must equal what model.py works out, officer by
officer and part by part: tier, evidence, fields, first and last read.
"""
import json
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from force import DAY, DAYS, Force, check, parse_time  # noqa: E402
from model import IMAGE, IMAGES, SCHEMA, TEXT, TEXTS, Desk, Grant, Log, Model, Read, part_of  # noqa: E402

GRANTABLE = ['name_on_card', 'rank', 'warrant_no', 'photo', 'signature', 'card_type', 'surname', 'valid_to']


class Device:
    def __init__(self, key, name, home, since):
        self.key, self.name, self.home, self.since = key, name, home, since
        self.grants, self.reads, self.revoked, self.extra = [], [], False, []


class Drill:
    def __init__(self, seed, folder, template):
        self.rng = random.Random(seed)
        self.f = Force(folder, template=template)
        self.m = Model(self.f.refs, self.f.images)
        self.left = set(self.f.refs)
        self.devices = []
        self.jobs = 0
        self.old = None  # a backup that is older than some of the grants: the vault was lost

    def order(self, refs):
        """Refs are random, their order in the import is not: a seed makes the same drill each time."""
        return [r for r in self.f.refs if r in refs]

    # -------------------------------------------------------------------------------------------------------- what happens

    def add_device(self, day, name=None):
        key = f'd{len(self.devices) + 1}'
        self.f.set_day(day)
        home = self.f.station(name or key, key)
        d = Device(key, name or key, home, day)
        self.devices.append(d)
        return d

    def add_grant(self, d, day):
        rng = self.rng
        refs = rng.sample(self.order(self.left), rng.randint(1, max(1, len(self.left) - 1)))
        fields = set(rng.sample(GRANTABLE, rng.randint(1, len(GRANTABLE))))
        self.f.set_day(day)
        self.jobs += 1
        online = not self.old and rng.random() < 0.4
        days = rng.choice([2, 6, 30])
        gid, manifest = self.f.grant(d.home, f'job-{self.jobs}', refs, sorted(fields, key=SCHEMA.index), until=f'+{days}d', release='online' if online else 'offline')
        g = Grant(gid, d.key, refs, fields, self.f.time(day), known=not self.old, manifest=manifest, online=online, until=self.f.time(day) + days * DAY)
        self.m.grants[gid] = g
        if not self.old:
            self.m.devices[d.key] = d.name
        d.grants.append((day, g))
        if rng.random() < 0.5:
            out = d.home / f'{gid}.bundle'
            self.f.keytool('bundle', 'export', '-q', '--grant', d.home / f'job-{self.jobs}.grant', '--key', self.f.key, '-o', out, self.f.vault, expect=None)

    def renew(self, d, day):
        _, g = self.rng.choice(d.grants)
        if self.old and g.online:
            return
        self.f.set_day(day)
        out = d.home / f'renewed-{day:.3f}.grant'
        p = self.f.keytool('grant', 'renew', '--until', '+10d', '--no-handin', '--key', self.f.key, '-o', out, g.id, self.f.vault, expect=None)
        if p.returncode:
            return  # a protected record, one that is erased, a value that is gone, a name that is taken
        gid, manifest = self.f.grant_id(out)
        check(manifest == g.manifest, 'a renewal has another list')
        n = Grant(gid, d.key, g.refs, g.fields, self.f.time(day), renews=g.id, known=not self.old, manifest=manifest, online=g.online, until=self.f.time(day) + 10 * DAY)
        self.m.grants[gid] = n
        d.grants.append((day, n))

    def erase(self, day):
        ref = self.rng.choice(self.order(self.left))
        self.f.set_day(day)
        self.f.keytool('record', 'erase', '--ref', ref, '--reason-code', 'leaver', '--yes', '--key', self.f.key, self.f.vault)
        self.left.discard(ref)

    def revoke(self, d, day):
        self.f.set_day(day)
        if self.rng.random() < 0.6:
            _, g = self.rng.choice(d.grants)
            self.f.keytool('grant', 'revoke', '--reason', 'done', '--key', self.f.key, '-o', d.home / f'r{day:.3f}.revoked', g.id, self.f.vault)
        else:
            self.f.keytool('device', 'revoke', '--reason', 'done', '--key', self.f.key, '-o', d.home / 'd.revoked', d.name, self.f.vault)
            d.revoked = True

    def history(self):
        rng = self.rng
        for _ in range(rng.randint(1, 3)):
            d = self.add_device(rng.uniform(0, 3))
            self.add_grant(d, rng.uniform(3, 5))
        days = sorted(rng.uniform(5, 30) for _ in range(rng.randint(3, 9)))
        for day in days:
            live = [d for d in self.devices if not d.revoked]
            what = rng.choice(['grant', 'grant', 'renew', 'renew', 'revoke', 'erase', 'again'])
            if what == 'erase' and len(self.left) > 3:
                self.erase(day)
            elif what == 'again':
                gone = [d for d in self.devices if d.revoked and d.grants]
                if gone:  # the same name, a new computer
                    name = gone[0].name
                    if all(d.revoked for d in self.devices if d.name == name):
                        self.add_grant(self.add_device(day, name), day + 0.1)
            elif live and what in ('grant', 'renew', 'revoke'):
                d = rng.choice(live)
                {'grant': self.add_grant, 'renew': self.renew, 'revoke': self.revoke}[what](d, day)

    def lose_the_vault(self):
        """What is left is a backup; grants were issued after it was made."""
        self.old = self.f.dir / 'old.backup'
        self.f.set_day(30.2)
        self.f.keytool('vault', 'backup', '-q', self.f.vault, self.old)
        for _ in range(self.rng.randint(1, 3)):
            live = [d for d in self.devices if not d.revoked]
            what = self.rng.choice(['grant', 'renew', 'device'])
            if what == 'device' or not live:
                self.add_grant(self.add_device(30.3), 30.4)
            elif what == 'grant':
                self.add_grant(self.rng.choice(live), 30.5)
            else:
                self.renew(self.rng.choice(live), 30.6)

    # --------------------------------------------------------------------------------------------------------------- reads

    def some_reads(self, d, first, last):
        """Entries of one device between two days, as lines for log-writer, and what the model is told of them."""
        rng, lines, reads = self.rng, [], []
        times = sorted(self.f.time(rng.uniform(first, last)) for _ in range(rng.randint(0, 12) if first < last else 0))
        for at in times:
            grants = [g for day, g in d.grants if self.f.time(day) < at]
            if not grants:
                continue
            g = rng.choice(grants)
            ref = rng.choice(self.order(g.refs))
            field = rng.choice(sorted(g.fields))
            texts = g.fields & set(TEXTS)
            kind = rng.choice(['open', 'open', 'open', 'all', 'deny', 'repeat'])
            if field in IMAGES and field not in self.f.images[ref]:
                continue
            lines.append(f'at {at * 1000000 + 500000}')
            if kind == 'all' and texts:
                lines.append(f'open {g.id} all:{g.manifest} text {",".join(sorted(texts, key=SCHEMA.index))} ok')
                reads.append(Read(at, g.id, 'all', [TEXT], texts))
            elif kind == 'deny':
                lines.append(f'deny {g.id} {ref} {part_of(field)} {field} EDQUOT')
            else:
                kind = 'open' if kind == 'all' else kind
                lines.append(f'{kind} {g.id} {ref} {part_of(field)} {field} ok')
                reads.append(Read(at, g.id, [ref], [part_of(field)], [field], kind))
        return lines, reads

    def append(self, d, first, last, ending=('seal',)):
        lines, reads = self.some_reads(d, first, last)
        self.f.write_log(d.home, [f'at {self.f.time(first) * 1000000}', *lines, *ending])
        d.reads += reads
        return reads

    def log_of(self, d, log, kind, state='good', reads=None):
        """What the model is told of a log folder (or the hand-in made of it) as it stands."""
        entries, sealed = self.f.entries(log), self.f.sealed(log)
        seen = d.reads if reads is None else reads
        told, i = [], 0
        for n, e in enumerate(e for e in entries):
            if e['event'] in ('open', 'repeat') and e['result'] == 'ok':
                if kind == 'folder' or n < sealed:
                    told.append((seen[i], n < sealed))
                i += 1
        if d.key not in self.m.devices:
            state = 'unknown'
        strays = {}  # whether the first entry under it names its list
        for e in entries if kind == 'folder' else entries[:sealed]:
            if e.get('grant') in self.m.grants and not self.m.grants[e['grant']].known:
                strays.setdefault(e['grant'], 'manifest' in e)
        last = [parse_time(e['time'][:19] + 'Z') for e in entries]
        covered = last[:sealed] or [0]
        usable = last if kind == 'folder' else covered
        return Log(d.key if state != 'unknown' else None, kind, state, told, sealed, covered[-1], max(usable, default=0), gap=any(e['event'] == 'gap' for e in entries[:sealed if kind == 'copy' else None]),
                   steps=any(e['event'] == 'clock' for e in entries[:sealed if kind == 'copy' else None]), strays=strays)

    # ---------------------------------------------------------------------------------------------------------------- fates

    def hand_in(self, d, day, store=True):
        """A hand-in; kept by the vault, or only as a file."""
        self.f.set_day(day)
        out = d.home / f'{day:.3f}.log'
        self.f.keytool('station', 'handin', '-q', d.home / 'station', '-o', out)
        log = self.log_of(d, d.home / 'station/log', 'copy')
        if store:
            if not d.grants or log.sealed == 0:
                return None  # the device is not known yet, or there is nothing to hand in
            self.f.keytool('device', 'handin', '-q', out, '--key', self.f.key, self.f.vault)
            if self.old:
                return out
            self.m.handed_in[d.key] = log.sealed
        self.m.logs.append(log)
        return out

    def fate(self, d):
        """Reads, and what is left of the log. Returns paths for --log."""
        rng, f = self.rng, self.f

        def day(x):
            """Days 20 to 38, after the device was enrolled."""
            first = max(20, d.since + 1)
            return first + (x - 20) * (38 - first) / 18

        how = rng.choice(['folder', 'folder', 'tail', 'handin', 'file', 'both', 'none', 'damaged', 'cut', 'fork', 'gap', 'steps', 'moved-on'])
        self.append(d, d.since + 0.2, day(20))
        folder = d.home / 'station/log'
        copy = d.home / 'copy'
        if how in ('handin', 'file', 'both', 'cut', 'moved-on') or rng.random() < 0.2:
            path = self.hand_in(d, day(20.2), store=how != 'file')
            if how == 'file':
                self.append(d, day(21), day(38))
                return [path]
        if how in ('handin', 'none'):
            self.append(d, day(21), day(38))
            return []
        if how == 'tail':
            self.append(d, day(21), day(37))
            self.append(d, day(37.1), day(38), ending=('die',))
            self.m.logs.append(self.log_of(d, folder, 'folder'))
            return [folder]
        if how == 'cut':
            # The folder as it was before; the vault has more.
            lines = folder.read_bytes() if folder.is_file() else None
            check(lines is None, 'a log is a folder')
            shutil.copytree(folder, copy)
            old = self.log_of(d, copy, 'folder')
            self.append(d, day(20.5), day(30))
            if d.grants and self.f.sealed(folder):
                self.f.set_day(day(30.5))
                self.f.keytool('station', 'handin', '-q', d.home / 'station', '-o', d.home / 'later.log')
                log = self.log_of(d, folder, 'copy')
                self.f.keytool('device', 'handin', '-q', d.home / 'later.log', '--key', self.f.key, self.f.vault)
                if not self.old:
                    self.m.logs = [x for x in self.m.logs if x.device != d.key] + [log]
                    self.m.handed_in[d.key] = log.sealed
            self.m.logs.append(old)
            return [copy]
        if how == 'fork':
            shutil.copytree(d.home / 'station', d.home / 'stolen')
            before = list(d.reads)
            lines, reads = self.some_reads(d, day(21), day(30))
            f.write_log(d.home, [f'at {f.time(day(21)) * 1000000}', *lines, 'deny - - - - x', 'seal'], station='stolen')
            stolen = before + reads
            self.append(d, day(21), day(30), ending=('deny - - - - x', 'deny - - - - y', 'seal'))
            a = self.log_of(d, d.home / 'stolen/log', 'folder', reads=stolen)
            b = self.log_of(d, folder, 'folder')
            self.m.logs += [a, b]
            if a.state == 'unknown':
                return [folder, d.home / 'stolen/log']
            # The longer one does not contain the shorter.
            bad = a if a.sealed > b.sealed else b
            bad.state, bad.forked = 'damaged', True
            if a.sealed == b.sealed:
                # Of two as long, that whose path comes later is held against the other.
                a.state, b.state = ('damaged', 'good') if str(d.home / 'stolen/log') > str(folder) else ('good', 'damaged')
            return [folder, d.home / 'stolen/log']
        if how == 'gap':
            self.append(d, day(21), day(30), ending=('gap 3', 'seal'))
        elif how == 'steps':
            self.append(d, day(21), day(30), ending=('step 90000', 'deny - - - - x', 'seal'))
        else:
            self.append(d, day(21), day(38 if how != 'damaged' else 30))
        if how == 'damaged':
            shutil.copytree(folder, copy)
            log = self.log_of(d, copy, 'folder', 'damaged')
            path = next(copy.glob('entries-*'))
            lines = path.read_bytes().splitlines(keepends=True)
            at = rng.randrange(len(lines))
            lines[at] = lines[at].replace(b'"host":"', b'"host":"x', 1)
            path.write_bytes(b''.join(lines))
            log.sealed = max(log.sealed, len(lines))  # what it says of itself
            self.m.logs.append(log)
            return [copy]
        self.m.logs.append(self.log_of(d, folder, 'folder'))
        return [folder]

    # ------------------------------------------------------------------------------------------------------------- the desk

    def desk(self):
        """What the desk released, for the reads there were and beside; and what is left of its log. Returns paths for --log."""
        rng, f = self.rng, self.f
        online = [g for g in self.m.grants.values() if g.online]
        how = rng.choice(['folder', 'folder', 'folder', 'store', 'none', 'damaged', 'early', 'copy', 'forgot', 'other'])
        if not online:
            return []
        last = f.time(25 if how == 'early' else 39.99)
        events = []  # time, line, what the model is told
        for g in online:
            wanted = set()
            for d in self.devices:
                for r in d.reads + d.extra:
                    if r.grant == g.id and not (how == 'forgot' and rng.random() < 0.3):
                        wanted |= {(r.at - 60, 'all' if r.refs == 'all' else r.refs[0], part) for part in r.parts}
            for _ in range(rng.randint(0, 4)):
                part = rng.choice([TEXT, IMAGE])
                refs = [r for r in self.order(g.refs) if part == TEXT or self.f.images[r]]
                if refs:
                    wanted.add((f.time(rng.uniform(5, 38)), rng.choice(refs + ['all']) if part == TEXT else rng.choice(refs), part))
            wanted = {w for w in wanted if g.issued < w[0] <= last - 1000}
            for at, ref, part in wanted:
                events.append((at, f'release {g.id} {f"all:{g.manifest}" if ref == "all" else ref} {part} - ok', (g.id, ref, part)))
            ended = max([g.until] + [w[0] for w in wanted]) + 5
            if ended < last - 500 and rng.random() < 0.5:
                events.append((ended, f'{rng.choice(["expire", "revoke"])} {g.id} - - - ok prekey_1/{len(events)}', (g.id, ended)))
        doubted = f.time(rng.uniform(3, 24)) if rng.random() < 0.2 else None
        if doubted:
            events.append((doubted, f'time - - - - {rng.choice(["unready", "confirmed"])}', ()))
        events.sort(key=lambda e: (e[0], e[1]))
        lines = []
        for at, line, _ in events:
            lines += [f'at {at * 1000000 + 7}', line]
        f.write_desk_log([f'at {f.time(1) * 1000000}', *lines, f'at {last * 1000000}', 'time - - - - ok', 'seal'])
        told = [e[2] for e in events]
        releases, closed = [t for t in told if len(t) == 3], dict(t for t in told if len(t) == 2)
        desk = Desk('folder', 'good', releases, closed, last)
        desk.doubted = doubted
        self.m.desk = desk
        path = f.dir / 'desk/log'
        if how == 'none':
            self.m.desk = None
            return []
        if how == 'other':
            self.m.desk = Desk('folder', 'strange', [], {}, last)
            return [f.dir / 'other-desk/log']
        if how == 'store':
            return [f.dir / 'desk']
        copy = f.dir / 'desk-copy'
        if how in ('copy', 'damaged'):
            shutil.copytree(path, copy)
        if how == 'copy':
            (copy / 'handed-in').write_text('')
            desk.kind = 'copy'
            return [copy]
        if how == 'damaged':
            desk.state = 'damaged'
            segment = next(copy.glob('entries-*'))
            entries = segment.read_bytes().splitlines(keepends=True)
            at = rng.randrange(len(entries))
            entries[at] = entries[at].replace(b'"host":"', b'"host":"x', 1)
            segment.write_bytes(b''.join(entries))
            return [copy]
        return [path]

    # ------------------------------------------------------------------------------------------------------------ questions

    def questions(self):
        rng = self.rng
        out = []
        for _ in range(3):
            q = {'now': int(time.time())}
            if rng.random() < 0.4:
                q['compromised'] = self.f.time(rng.choice([rng.uniform(15, 39), 39]))
                q['off'] = rng.random() < 0.5
                q['safe'] = rng.random() < 0.5
            if rng.random() < 0.4:
                q['since'] = self.f.time(rng.uniform(0, 25))
            if rng.random() < 0.4:
                q['until'] = self.f.time(rng.uniform(26 if 'since' in q else 5, 39))
            kind = rng.choice(['all', 'all', 'device', 'grant'])
            if kind == 'all':
                q['scope'] = ('all', None)
            elif kind == 'device':
                q['scope'] = ('device', rng.choice(sorted(set(self.m.devices.values()))))
            else:
                q['scope'] = ('grant', rng.choice([g.id for g in self.m.grants.values() if g.known]))
            out.append(q)
        return out

    def ask(self, n, q, logs, vault):
        args = [a for log in logs for a in ('--log', log)]
        args += ['--all'] if q['scope'][0] == 'all' else [f'--{q["scope"][0]}', q['scope'][1]]
        for name, option in (('compromised', 'host-compromised-at'), ('since', 'since'), ('until', 'until')):
            if name in q:
                args += [f'--{option}', self.f.text(q[name])]
        args += ['--device-off'] if q.get('off') else []
        args += ['--passphrase-safe'] if q.get('safe') else []
        out = self.f.dir / f'out{n}'
        self.f.keytool_now('audit', 'exposure', '-q', '--vault', vault, *args, '-o', out)
        return out, args

    def compare(self, out, q, args):
        want = self.m.expect(q)
        got = {}
        for r in self.f.rows(out):
            check((r['ref'], r['part']) not in got, f'{r["ref"]} {r["part"]} stands twice')
            got[r['ref'], r['part']] = r
        what = f'{q} {" ".join(map(str, args))}; the devices: {[(d.key, d.name, len(d.grants)) for d in self.devices]}'
        check(set(got) == set(want), f'other records: missing {sorted(set(want) - set(got))}, too many {sorted(set(got) - set(want))}: {what}')
        for key, (tier, evidence, fields, times) in sorted(want.items()):
            r = got[key]
            line = (int(r['tier']), r['evidence'], set(r['fields'].split()), (parse_time(r['first_read']), parse_time(r['last_read'])))
            check(line[0] >= tier, f'TOO LOW: {key}: {line} instead of {(tier, evidence, fields, times)}: {what}')
            check(line == (tier, evidence, fields, times), f'{key}: {line} instead of {(tier, evidence, fields, times)}: {what}')
        summary = json.loads((out / 'summary.json').read_text())
        for part in (TEXT, IMAGE):
            for tier in range(3):
                n = sum(1 for (_, p), w in want.items() if p == part and w[0] == tier)
                check(summary['counts'][part][str(tier)] == n, f'the summary counts {summary["counts"][part]}: {what}')
        return summary

    def run(self):
        self.history()
        logs = []
        if self.rng.random() < 0.3:
            self.lose_the_vault()
        for d in self.devices:
            logs += self.fate(d)
        logs += self.desk()
        vault = self.old or self.f.vault
        if not self.old and self.rng.random() < 0.3:
            vault = self.f.dir / 'vault.backup'
            self.f.keytool_now('vault', 'backup', '-q', self.f.vault, vault)
        for n, q in enumerate(self.questions()):
            out, args = self.ask(n, q, logs, vault)
            summary = self.compare(out, q, args)
            check(summary['inputs']['is_backup'] == (vault != self.f.vault), 'whether it was a backup')


def main():
    first, count = int(sys.argv[1]), int(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix='vaultfs-drill-') as tmp:
        os.environ['XDG_RUNTIME_DIR'] = tmp
        tmp = pathlib.Path(tmp)
        template = Force(tmp / 'template')
        for seed in range(first, first + count):
            print(f'drill {seed}', flush=True)
            Drill(seed, tmp / f'{seed}', template).run()
            shutil.rmtree(tmp / f'{seed}')
    print(f'{count} drills')


main()
