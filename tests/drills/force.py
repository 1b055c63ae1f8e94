# SPDX-License-Identifier: MIT
"""A force and its suppliers for drills: the real keytool on a steered clock, and logs written by log-writer. Days are counted from a beginning
forty days ago; day 40 is now."""
import csv
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time

DAY = 86400
DAYS = 40


def check(condition, what):
    if not condition:
        frame = sys._getframe(1)
        print(f'FAILED at {os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}: {what}', file=sys.stderr)
        sys.exit(1)


class Force:
    """Made once and copied: `template` is another Force."""

    def __init__(self, folder, records=14, template=None, seed=1):
        self.dir = pathlib.Path(folder)
        self.vault = self.dir / 'vault'
        self.key = self.dir / 'alice.key'
        self.clock = self.dir / 'clock'
        self.now = int(time.time())
        if template:
            self.now = template.now
            shutil.copytree(template.dir, self.dir)
            self.truth, self.refs, self.images = template.truth, template.refs, template.images
            return
        self.dir.mkdir()
        self.set_day(0)
        self.run(os.environ['SYNTH'], '--out', self.dir / 'synth', '--records', records, '--seed', seed, '--photo-kb', '20-30', '--signatures', 40,
                 '--protected', 25, '--incomplete', 20)
        self.keytool('identity', 'new', '--role', 'admin', '--name', 'alice', '--no-passphrase', self.key)
        for name in ('desk', 'other-desk'):
            self.keytool('identity', 'new', '--role', 'desk', '--name', name, '--no-passphrase', self.dir / f'{name}.key')
        self.keytool('vault', 'create', '--force-name', 'Northshire Police', '--admin', f'{self.key}.pub', '--threshold', 1, '--desk', self.dir / 'desk.key.pub',
                     '--desk-url', 'http://desk.example.org:8750', '--key', self.key, self.vault)
        # The key desk, and one that no policy names.
        for name in ('desk', 'other-desk'):
            self.keytool('desk', 'create', '--key', self.dir / f'{name}.key', '--prekeys', 300, '-o', self.dir / f'{name}.prekeys', self.dir / name)
        self.keytool('vault', 'set', '--prekeys', self.dir / 'desk.prekeys', '--key', self.key, self.vault)
        self.keytool('policy', 'export', self.vault, '-o', self.dir / 'force.policy')
        self.keytool('record', 'import', '--csv', self.dir / 'synth/force.csv', '--map', self.dir / 'synth/force.map', '--photos', self.dir / 'synth/photos',
                     '--refs-out', self.dir / 'refs.csv', '--key', self.key, self.vault)
        self.truth = [json.loads(line) for line in (self.dir / 'synth/truth/records.jsonl').read_text().splitlines()]
        with open(self.dir / 'refs.csv', newline='') as f:
            by_row = {int(r['row']): r['ref'] for r in csv.DictReader(f)}
        self.images = {}
        for t in self.truth:
            t['ref'] = by_row[t['row']]
            t['text'] = {**t['A'], **t['B'], **t['C']}
            self.images[t['ref']] = ({'photo'} if t['photo'] else set()) | ({'signature'} if t['signature'] else set())
        self.refs = [t['ref'] for t in self.truth]
        shutil.rmtree(self.dir / 'synth')

    def time(self, day):
        """Seconds since 1970 at so many days after the beginning."""
        return int(self.now + (day - DAYS) * DAY)

    @staticmethod
    def text(seconds):
        return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(seconds))

    def set_day(self, day):
        add = int((day - DAYS) * DAY) * 1000000
        self.clock.write_bytes(struct.pack('=qqq', add, add + 10 ** 12 * 5, 1))

    def run(self, *args, expect=0, env=None, stdin=None):
        p = subprocess.run([str(a) for a in args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, input=stdin, env={**os.environ, **(env or {})}, timeout=120)
        if expect is not None and p.returncode != expect:
            print(f'$ {" ".join(map(str, args))}\n{p.stdout}{p.stderr}', file=sys.stderr)
            check(False, f'exit status {p.returncode} instead of {expect}')
        return p

    def keytool(self, *args, expect=0):
        """On the steered clock."""
        return self.run(os.environ['KEYTOOL_CLOCK'], *args, expect=expect, env={'VAULTFS_TEST_CLOCK': str(self.clock)})

    def keytool_now(self, *args, expect=0):
        return self.run(os.environ['KEYTOOL'], *args, expect=expect)

    # --------------------------------------------------------------------------------------------------------- suppliers

    def station(self, name, folder):
        home = self.dir / folder
        home.mkdir()
        self.keytool('station', 'create', '--name', name, '--policy', self.dir / 'force.policy', '--no-passphrase', '-o', home / 'd.enrol', home / 'station')
        return home

    def grant(self, home, job, refs, fields, until='+30d', expect=0, release='offline'):
        listing = home / f'{job}.list'
        listing.write_text(''.join(f'{r}\n' for r in sorted(refs)))
        out = home / f'{job}.grant'
        p = self.keytool('grant', 'issue', '--to', home / 'd.enrol', '--job', job, '--fields', ','.join(fields), '--list', listing, '--until', until, '--purpose', 'Cards',
                         '--release', release, '--allow-incomplete', '--include-protected', '--key', self.key, '-o', out, self.vault, expect=expect)
        return self.grant_id(out) if p.returncode == 0 else None

    def grant_id(self, path):
        text = path.read_bytes()
        return re.search(rb'grant: ([A-Z2-7]{16})\n', text)[1].decode(), re.search(rb'manifest-sha256: ([0-9a-f]{64})\n', text)[1].decode()

    def write_desk_log(self, lines, store='desk'):
        self.write_log(self.dir, lines, store)

    def write_log(self, home, lines, station='station'):
        """Lines for log-writer."""
        env = {k: v for k, v in os.environ.items() if k != 'VAULTFS_TEST_CLOCK'}
        p = subprocess.run([os.environ['LOG_WRITER'], str(home / station / 'log'), str(home / station / 'seal')], input='\n'.join(lines) + '\n', text=True, env=env,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        check(p.returncode == 0, p.stderr)

    @staticmethod
    def entries(log):
        out = []
        for segment in sorted(pathlib.Path(log).glob('entries-*.jsonl')):
            out += [json.loads(line) for line in segment.read_text().splitlines()]
        return out

    @staticmethod
    def sealed(log):
        """How many entries the last checkpoint of a log folder covers."""
        path = pathlib.Path(log) / 'checkpoints'
        notes = re.findall(r'^vaultfs\.log/[0-9a-f]{32}\n(\d+)\n', path.read_text(), re.M) if path.exists() else []
        return int(notes[-1]) if notes else 0

    # ------------------------------------------------------------------------------------------------------------ answers

    def exposure(self, out, *args, expect=0):
        p = self.keytool_now('audit', 'exposure', '-q', '--vault', self.vault, *args, '-o', out, expect=expect)
        return p

    @staticmethod
    def rows(out):
        with open(pathlib.Path(out) / 'exposed.csv', newline='', encoding='utf-8') as f:
            return list(csv.DictReader(f, strict=True))


def parse_time(text):
    return int(time.mktime(time.strptime(text, '%Y-%m-%dT%H:%M:%SZ'))) - time.timezone if text else None
