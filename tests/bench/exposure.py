#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How long `audit exposure` takes, and how much memory. Run by hand, on a quiet machine:

    ninja -C build && tests/bench/exposure.py build [--records 47000] [--entries 10000000] [--grants 3]

A force of so many officers (text only: nobody waits here for the painting of photos), a grant of all to one device with its renewals, and a log of so many
reads by the real writer. Then exposure --all with the device's log and with nothing, what verifying the same log alone takes, and the list of people.
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument('build')
parser.add_argument('--records', type=int, default=47000)
parser.add_argument('--entries', type=int, default=10_000_000)
parser.add_argument('--grants', type=int, default=3)
args = parser.parse_args()
build = pathlib.Path(args.build).resolve()
keytool, writer = build / 'keytool/keytool', build / 'tests/drills/log-writer'


def run(*a, stdin=None):
    p = subprocess.run([str(x) for x in a], input=stdin, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if p.returncode:
        sys.exit(f'{" ".join(map(str, a))}\n{p.stderr}')
    return p.stdout


def measure(name, *a):
    started = time.perf_counter()
    p = subprocess.Popen([str(x) for x in a], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(p.pid, 0)
    took = time.perf_counter() - started
    if status:
        sys.exit(f'{name} failed')
    print(f'{name:<44} {took:8.2f} s   {used.ru_utime + used.ru_stime:8.2f} s of processor   {used.ru_maxrss / 1024:7.0f} MB', flush=True)


with tempfile.TemporaryDirectory(prefix='vaultfs-bench-') as tmp:
    d = pathlib.Path(tmp)
    run(build / 'tests/synth/vaultfs-synth', '--out', d / 'synth', '--records', args.records, '--photos', 'none')
    run(keytool, 'identity', 'new', '--role', 'admin', '--name', 'alice', '--no-passphrase', d / 'alice.key')
    run(keytool, 'vault', 'create', '--force-name', 'Northshire Police', '--admin', d / 'alice.key.pub', '--threshold', 1, '--key', d / 'alice.key', d / 'vault')
    run(keytool, 'policy', 'export', d / 'vault', '-o', d / 'force.policy')
    run(keytool, 'record', 'import', '-q', '--csv', d / 'synth/force.csv', '--map', d / 'synth/force.map', '--refs-out', d / 'refs.csv', '--key', d / 'alice.key', d / 'vault')
    run(keytool, 'station', 'create', '--name', 'printer', '--policy', d / 'force.policy', '--no-passphrase', '-o', d / 'printer.enrol', d / 'station')
    run(keytool, 'grant', 'issue', '-q', '--to', d / 'printer.enrol', '--job', 'cards', '--profile', 'card-print', '--records', 'all', '--until', '+20d', '--purpose', 'Cards',
        '--release', 'offline', '--allow-incomplete', '--key', d / 'alice.key', '-o', d / 'cards.grant', d / 'vault')
    gid = next(line.split()[-1] for line in open(d / 'cards.grant', errors='replace') if line.startswith('grant: '))
    for n in range(1, args.grants):
        run(keytool, 'grant', 'renew', '-q', '--until', '+25d', '--no-handin', '--key', d / 'alice.key', '-o', d / f'renewed{n}.grant', gid, d / 'vault')
    refs = [line.split(',')[1] for line in (d / 'refs.csv').read_text().splitlines()[1:]]
    (d / 'refs').write_text('\n'.join(r for r in refs if len(r) == 8) + '\n')
    started = time.perf_counter()
    run(writer, d / 'station/log', d / 'station/seal', stdin=f'at {int(time.time()) * 1000000}\nmany {args.entries} {gid} {d / "refs"}\n')
    print(f'{args.records} officers, {args.grants} grants of all, {args.entries} entries (written in {time.perf_counter() - started:.0f} s)')
    measure('audit verify', keytool, 'audit', 'verify', '--enrol', d / 'printer.enrol', d / 'station/log')
    measure('exposure --all, the log folder', keytool, 'audit', 'exposure', '-q', '--vault', d / 'vault', '--log', d / 'station/log', '--all', '-o', d / 'with')
    measure('exposure --all, nothing', keytool, 'audit', 'exposure', '-q', '--vault', d / 'vault', '--all', '-o', d / 'without')
    measure('record notify-list (everybody)', keytool, 'record', 'notify-list', '-q', '--from', d / 'without/exposed.csv', '--key', d / 'alice.key', '-o', d / 'notify.csv', d / 'vault')
