# SPDX-License-Identifier: MIT
"""The desk's units: what must stand in them does, the command is one that keytool takes, and systemd finds nothing wrong, if it is here.

    check_units.py KEYTOOL BUILD SOURCE
"""
import configparser
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

keytool, build, source = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
service, sock = build / 'contrib/vaultfs-desk.service', source / 'contrib/systemd/vaultfs-desk.socket'


def check(good, what):
    if not good:
        print(f'FAILED: {what}')
        sys.exit(1)


def parse(path):
    p = configparser.RawConfigParser(strict=False, interpolation=None)
    p.optionxform = str
    p.read_string(path.read_text())
    return p


text = service.read_text()
check('@' not in text.replace('@system-service', ''), 'everything is filled in')
unit = parse(service)
want = {'Type': 'notify', 'NoNewPrivileges': 'yes', 'ProtectSystem': 'strict', 'LimitCORE': '0', 'MemorySwapMax': '0', 'CapabilityBoundingSet': '',
        'MemoryDenyWriteExecute': 'yes', 'SystemCallFilter': '@system-service', 'StateDirectoryMode': '0700', 'PrivateDevices': 'yes'}
for name, value in want.items():
    check(unit['Service'].get(name) == value, f'{name}={value}')
limit = re.fullmatch(r'(\d+)M', unit['Service']['LimitMEMLOCK'])
check(limit and int(limit[1]) > 64, 'LimitMEMLOCK is more than the arena for keys')
check('vaultfs-desk.socket' in unit['Unit']['Requires'], 'the service has its socket')
listen = parse(sock)['Socket']['ListenStream']
check(listen.startswith('127.0.0.1:'), 'it listens on loopback until somebody says otherwise')

# The command: a verb and options that are there.
words = unit['Service']['ExecStart'].split()
tables = {(t['noun'], t['verb']): t['options'] for t in json.loads(subprocess.run([keytool, '--tables'], capture_output=True, text=True).stdout)}
check(words[0].endswith('/bin/vaultfs-keytool') and tuple(words[1:3]) in tables, f'{words[:3]}')
for word in words[3:]:
    check(not word.startswith('--') or word[2:] in tables[tuple(words[1:3])], f'{word} is an option of it')

analyze = shutil.which('systemd-analyze')
if analyze:
    with tempfile.TemporaryDirectory() as tmp:
        for path in (service, sock):
            (pathlib.Path(tmp) / path.name).write_text(path.read_text().replace(words[0], str(pathlib.Path(keytool).resolve())))
        r = subprocess.run([analyze, 'verify', '--man=no', '--recursive-errors=no', f'{tmp}/{service.name}', f'{tmp}/{sock.name}'], capture_output=True, text=True)
        ours = [line for line in r.stderr.splitlines() if 'vaultfs-desk' in line and 'Failed to prepare filename' not in line]
        check(r.returncode == 0 and not ours, f'systemd-analyze verify: {r.stderr}')
        r = subprocess.run([analyze, 'security', '--offline=true', '--threshold=30', '--no-pager', f'{tmp}/{service.name}'], capture_output=True, text=True)
        check(r.returncode == 0, f'systemd-analyze security: {r.stdout[-2000:]}{r.stderr}')
        print(r.stdout.strip().splitlines()[-1])
print('units: good' if analyze else 'units: good, as far as that can be said without systemd-analyze')
