# SPDX-License-Identifier: MIT
"""`meson install` with DESTDIR puts everything in its place, and what it put there runs under its installed name.

    check_install.py BUILD SOURCE PREFIX BINDIR LIBEXECDIR MANDIR DATADIR
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

build, source = map(pathlib.Path, sys.argv[1:3])
prefix, bindir, libexecdir, mandir, datadir = sys.argv[3:8]
meson = shutil.which('meson', path='/usr/bin:/bin:' + os.environ.get('PATH', ''))
if not meson:
    print('there is no meson to install with')
    sys.exit(77)


def check(good, what):
    if not good:
        print(f'FAILED: {what}')
        sys.exit(1)


with tempfile.TemporaryDirectory() as tmp:
    dest = pathlib.Path(tmp) / 'dest'
    env = {k: v for k, v in os.environ.items() if k != 'DESTDIR'}
    r = subprocess.run([meson, 'install', '-C', str(build), '--no-rebuild', '--destdir', str(dest)], env=env, capture_output=True, text=True)
    check(r.returncode == 0, f'meson install: {r.stdout}{r.stderr}')

    def at(folder):
        return dest / os.path.join(prefix, folder).lstrip('/')

    program = at(libexecdir) / 'vaultfs/keytool'
    link = at(bindir) / 'vaultfs-keytool'
    check(program.is_file() and os.access(program, os.X_OK), f'{program} is a program')
    check((at(bindir) / 'vaultfs').is_file(), 'vaultfs is in bin')
    units = ('systemd/system/vaultfs-desk.service', 'systemd/system/vaultfs-desk.socket', 'sysusers.d/vaultfs-desk.conf')
    for unit in units:
        check((at('lib') / unit).is_file(), f'{unit} is installed')
    check(link.is_symlink(), 'vaultfs-keytool is a link')
    if not os.readlink(link).startswith('/'):
        check(link.resolve() == program.resolve(), f'vaultfs-keytool leads to {link.resolve()}')
        out = subprocess.run([link, '--version'], capture_output=True, text=True)
        check(out.returncode == 0 and re.fullmatch(r'vaultfs-keytool \d+\.\d+\.\d+\n', out.stdout), f'--version: {out.stdout}')
        out = subprocess.run([link, 'vault', 'create', '--help'], capture_output=True, text=True).stdout
        check(out.startswith('Usage: vaultfs-keytool vault create '), 'help uses the name it was called by')
    out = subprocess.run([at(bindir) / 'vaultfs', '--version'], capture_output=True, text=True)
    check(out.returncode == 0 and out.stdout.startswith('vaultfs '), 'vaultfs --version')

    pages = {p.name for p in (at(mandir) / 'man1').iterdir()}
    check(pages == {p.name for p in (source / 'docs/man').glob('*.1')}, f'man pages: {sorted(pages)}')
    for name in ('vaultfs', 'vaultfs-keytool'):
        check((at(datadir) / 'bash-completion/completions' / name).is_file(), f'completion of {name}')
    docs = {p.name for p in (at(datadir) / 'doc/vaultfs').iterdir()}
    check(docs == {p.name for p in (source / 'docs').glob('*.md')} | {'README.md', 'LICENSE'}, f'documents: {sorted(docs)}')

    # Nothing else, and nothing of the tests, is installed.
    rest = sorted(str(p.relative_to(dest)) for p in dest.rglob('*') if not p.is_dir() and 'man1' not in p.parts and 'vaultfs' not in p.parts[-2:])
    allowed = {str((at(bindir) / 'vaultfs').relative_to(dest)), str(link.relative_to(dest)),
               *(str((at('lib') / unit).relative_to(dest)) for unit in units),
               *(str((at(datadir) / 'bash-completion/completions' / n).relative_to(dest)) for n in ('vaultfs', 'vaultfs-keytool'))}
    check(set(rest) <= allowed, f'installed besides: {sorted(set(rest) - allowed)}')
    print(f'{len(pages)} pages, {len(docs)} documents, two programs')
