# SPDX-License-Identifier: MIT
"""Run what README.md and the guides show: every command in a ```console block, and compare what it prints with what stands there.

    check_tour.py KEYTOOL VAULTFS SYNTH DOCUMENT...            compare
    check_tour.py --update KEYTOOL VAULTFS SYNTH DOCUMENT...   write what was printed into the documents

A line that begins with "$ " is a command, with the lines that follow a final backslash or belong to a here document; what comes until
the next one is its output. A line "..." stands for any lines. A command that fails has to be followed by "$ echo $?". An HTML comment
that begins with "run" holds commands that readers need not see, one a line. What differs from run to run (ids, refs, times, sizes) is
compared by its form. Each document is run in a folder of its own, with synthetic records.
"""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

SECONDS = 200  # for one command
MARK = '\x01end %d\x01'


def normal(line):
    """A line without what chance decides."""
    for pattern, word in (
        (r'(?:/tmp/tour-\w+/work|/home/you)\b', '<home>'),
        (r'\b(?:[A-Z2-7]{4}-){7}[A-Z2-7]{4}\b', '<fingerprint>'),
        (r'\b[A-Z2-7]{16}\b', '<grant>'),
        (r'\b[A-Z2-7]{8}\b', '<ref>'),
        (r'\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z', '<time>'),
        (r'\b\d+  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC', '<n> <time>'),
        (r'\b\d+ of (its|them)\b', r'<n> of \1'),
        (r'\bby uid \d+, \S+ \(process \d+\)', 'by uid <n>, <any> (process <n>)'),
        (r'\(here: [^)]*\)', '(here: <time>)'),
        (r'\b\d{1,2} [A-Z][a-z]{2} \d{4} at \d\d:\d\d UTC', '<time>'),
        (r'\b[A-Z][a-z]{2} +\d{1,2} (?:\d\d:\d\d| \d{4})', '<time>'),
        (r'\b[0-9a-f]{32,64}\b', '<hex>'),
        (r'[A-Za-z0-9+/]{20,}={0,2}', '<base64>'),
        (r'\bpid \d+', 'pid <n>'),
        (r'\b\d+(?:\.\d)? MB', '<n> MB'),
        (r'\b\d+ (entries|sealed|checkpoints)', r'<n> \1'),
        (r'\bentries +\d+ to \d+\b', 'entries <n> to <n>'),
        (r'\b(entries|checkpoint|entry) +\d+\b', r'\1 <n>'),
        (r'^([d-][r-][w-][x-]\S+ \d+) \w+ +\w+ +', r'\1 <owner> <group> '),
        (r'"(nonce|host|exe|session)":"[^"]*"', r'"\1":<any>'),
        (r'"(pid|uid|seq)":\d+', r'"\1":<n>'),
        (r'\bfrom <time> to <time>', 'on <time>'),  # of one minute, or not
        (r'[ \t]+', ' '),
    ):
        line = re.sub(pattern, word, line)
    return line.strip()


def relevant(lines):
    """Without what the mount says about this computer's swap."""
    return [line for line in lines if not line.startswith('vaultfs: warning: ')]


def matches(want, got):
    """Lines against lines; "..." stands for any."""
    if not want:
        return not got
    if want[0].strip() == '...':
        return any(matches(want[1:], got[i:]) for i in range(len(got) + 1))
    return bool(got) and normal(want[0]) == normal(got[0]) and matches(want[1:], got[1:])


class Shell:
    """One bash, as a reader has one; what it prints until the mark belongs to the command before."""

    def __init__(self, folder, path):
        env = {'PATH': f'{path}:/usr/sbin:/usr/bin:/sbin:/bin', 'HOME': str(folder), 'LC_ALL': 'C.UTF-8', 'TZ': 'UTC', 'TERM': 'dumb',
               'XDG_RUNTIME_DIR': str(folder / '.run'), 'CREDENTIALS_DIRECTORY': str(folder / '.credentials')}
        env |= {k: v for k, v in os.environ.items() if k.endswith('SAN_OPTIONS')}
        (folder / '.run').mkdir(mode=0o700)
        (folder / '.credentials').mkdir(mode=0o700)
        work = folder / 'work'
        work.mkdir()
        self.p = subprocess.Popen(['bash', '--norc', '--noprofile'], cwd=work, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, bufsize=1, start_new_session=True)
        self.n = 0
        self.last = 0

    def run(self, command):
        self.n += 1
        mark = MARK % self.n
        self.p.stdin.write(f'( exit {self.last} )\n{command}\nprintf "\\n{mark} %d\\n" $?\n')
        self.p.stdin.flush()
        lines = []
        watch = threading.Timer(SECONDS, os.killpg, (self.p.pid, signal.SIGKILL))
        watch.start()
        for line in self.p.stdout:
            if line.startswith(mark):
                self.last = int(line.split()[-1])
                break
            lines.append(line.rstrip('\n'))
        else:
            raise SystemExit(f'the shell ended, or was ended after {SECONDS} s, in: {command}')
        watch.cancel()
        if lines and lines[-1] == '':
            lines.pop()
        return lines, self.last

    def close(self):
        if self.p.poll() is None:
            self.p.stdin.close()
        self.p.wait(timeout=60)


class Step:
    def __init__(self, line, command, hidden=False):
        self.line, self.command, self.hidden, self.want, self.got = line, command, hidden, [], []


def parse(text):
    """Pieces of a document: strings that stay as they are, and steps."""
    pieces, inside, hidden, step = [], False, False, None
    lines = text.split('\n')
    i = 0
    while i < len(lines):
        line = lines[i]
        i += 1
        if line.startswith('<!-- run'):
            hidden = True
        elif hidden and line.startswith('-->'):
            hidden = False
        elif hidden:
            pieces.append(line)
            pieces.append(Step(i, line, hidden=True))
            continue
        elif not inside and line == '```console':
            inside, step = True, None
        elif inside and line == '```':
            inside, step = False, None
        elif inside and line.startswith('$ '):
            step = Step(i, line[2:])
            while step.command.endswith('\\') and i < len(lines):
                step.command += '\n' + lines[i]
                i += 1
            here = re.search(r"<<'(\w+)'", step.command)
            while here and not step.command.endswith('\n' + here[1]) and i < len(lines):
                step.command += '\n' + lines[i]
                i += 1
            pieces.append(step)
            continue
        elif inside and step:
            step.want.append(line)
            continue
        pieces.append(line)
    return pieces


def clear(folder):
    """An unmounted daemon still seals its log, and makes files while the folder is being removed."""
    end = time.monotonic() + 20
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
        if time.monotonic() > end:
            raise SystemExit(f'{folder} cannot be removed')
        time.sleep(0.1)


def run_document(path, programs, update):
    pieces = parse(path.read_text(encoding='utf-8'))
    steps = [p for p in pieces if isinstance(p, Step)]
    problems = []
    with tempfile.TemporaryDirectory(prefix='tour-', ignore_cleanup_errors=True) as tmp:
        folder = pathlib.Path(tmp)
        os.chmod(folder, 0o755)
        shell = Shell(folder, programs)
        try:
            for step, after in zip(steps, steps[1:] + [None]):
                step.got, status = shell.run(step.command)
                step.got = relevant(step.got)
                if status and not (after and after.command == 'echo $?') and step.command != 'echo $?':
                    problems.append(f'{path.name}:{step.line}: exit {status}: {step.command}\n    ' + '\n    '.join(step.got))
                elif not step.hidden and not matches(step.want, step.got):
                    problems.append(f'{path.name}:{step.line}: {step.command}\n  shown:\n    ' + '\n    '.join(step.want)
                                    + '\n  printed:\n    ' + '\n    '.join(step.got))
        finally:
            for line in open('/proc/self/mounts', encoding='utf-8'):
                if line.split()[1].startswith(f'{folder}/'):
                    subprocess.run(['fusermount3', '-u', '-z', line.split()[1]], check=False)
            shell.close()
    clear(folder)
    if update:
        out = []
        for piece in pieces:
            if not isinstance(piece, Step):
                out.append(piece)
            elif not piece.hidden:
                out += ['$ ' + piece.command]
                out += piece.want if '...' in piece.want and matches(piece.want, piece.got) else [line.replace(tmp + '/work', '/home/you') for line in piece.got]
        path.write_text('\n'.join(out), encoding='utf-8')
    return len(steps), problems


def main():
    args = sys.argv[1:]
    update = args[:1] == ['--update']
    if update:
        args = args[1:]
    if not os.access('/dev/fuse', os.R_OK | os.W_OK) or not shutil.which('fusermount3'):
        print('nothing can be mounted here (/dev/fuse, fusermount3)')
        return 77
    failed = 0
    with tempfile.TemporaryDirectory() as tmp:
        for name, target in zip(('vaultfs-keytool', 'vaultfs', 'vaultfs-synth'), args):
            os.symlink(os.path.abspath(target), f'{tmp}/{name}')
        for name in args[3:]:
            n, problems = run_document(pathlib.Path(name), tmp, update)
            for p in problems:
                print(p)
            print(f'{name}: {n} commands, {len(problems)} problems')
            failed += bool(problems)
    return 1 if failed else 0


sys.exit(main())
