# SPDX-License-Identifier: MIT
"""Tables, --help, man pages and bash completion of both programs agree; every page is whole and is installed; links in docs/ lead somewhere.

    check_docs.py KEYTOOL VAULTFS SOURCE
"""
import json
import pathlib
import re
import subprocess
import sys

KEYTOOL, VAULTFS = sys.argv[1:3]
SOURCE = pathlib.Path(sys.argv[3])
MAN = SOURCE / 'docs/man'
ALWAYS = {'help', 'quiet', 'version'}
SHORT = {'output': 'o', 'quiet': 'q', 'help': 'h'}
SECTIONS = ['NAME', 'SYNOPSIS', 'DESCRIPTION', 'OPTIONS', 'ENVIRONMENT', 'FILES', 'EXIT STATUS', 'EXAMPLES', 'SEE ALSO']
NEEDED = {'NAME', 'SYNOPSIS', 'DESCRIPTION', 'OPTIONS', 'EXIT STATUS', 'EXAMPLES', 'SEE ALSO'}

problems = []


def check(good, what):
    if not good:
        problems.append(what)
    return good


def same(a, b, what):
    """Two sets; says what one has and the other has not."""
    a, b = set(a), set(b)
    if a != b:
        problems.append(f'{what}: only left {sorted(a - b)}, only right {sorted(b - a)}')


def run(*args):
    r = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    if r.returncode != 0 or r.stderr:
        problems.append(f'{" ".join(args[1:])}: exit {r.returncode}: {r.stderr.strip()}')
    return r.stdout


# ------------------------------------------------------------------------------------------------------------------- --help

def parse_help(text):
    """{option: (argument or None, needed, repeats)}, usage arguments, summary."""
    lines = text.splitlines()
    options = {}
    for line in lines[3:]:
        if not line:
            continue
        m = re.fullmatch(r'  --([a-z][a-z-]*)(?: (\S.*?))?\s{2,}(\S.*)', line) or re.fullmatch(r'  --([a-z][a-z-]*) (\S+) (\S.*)', line)
        if check(m, f'--help: cannot read the line {line!r}'):
            options[m[1]] = (m[2], '(needed)' in m[3], '(may be repeated)' in m[3])
    return options, lines[0], lines[2] if len(lines) > 2 else ''


# ---------------------------------------------------------------------------------------------------------------- man pages

def words(line):
    """Words of a macro line; "..." is one word."""
    return [w.strip('"').replace('\\(dq', '"').replace('\\e', '\\') for w in re.findall(r'"[^"]*"|\S+', line)]


class Page:
    def __init__(self, path):
        self.path = path
        self.sections = {}
        self.order = []
        self.title = self.description = None
        now = None
        for line in path.read_text(encoding='utf-8').splitlines():
            if line.startswith('.Sh '):
                now = line[4:]
                self.order.append(now)
                self.sections[now] = []
            elif line.startswith('.Dt '):
                self.title = line[4:].split()[0]
            elif line.startswith('.Nd '):
                self.description = line[4:]
            elif now:
                self.sections[now].append(line)

    def flags(self, line):
        """('name', 'argument' or None) of each .Fl in a macro line; short ones keep their one letter."""
        w = words(line)
        found, i = [], 0
        while i < len(w):
            if w[i] == 'Fl' and i + 1 < len(w):
                name = w[i + 1]
                name = name[1:] if name.startswith('-') else name
                arg = w[i + 3] if i + 3 < len(w) and w[i + 2] == 'Ar' else None
                found.append((name, arg))
                i += 4 if arg else 2
            else:
                i += 1
        return found

    def items(self, section):
        return [self.flags(line[4:]) for line in self.sections.get(section, []) if line.startswith('.It ') and ' Fl ' in ' ' + line[4:]]

    def synopsis(self):
        """{option: (argument, needed, repeats)} and the other arguments."""
        options, args = {}, []
        for line in self.sections['SYNOPSIS']:
            if line.startswith('.Nm'):
                continue
            needed = not line.startswith('.Op ')
            body = line[1:] if needed else line[4:]
            flags = self.flags(body)
            if flags:
                options[flags[0][0]] = (flags[0][1], needed, line.endswith('...'))
            else:
                args.append((words(body)[1], needed, line.endswith('...')))
        return options, args

    def mentions(self):
        """Pages under .Xr and options under .Fl in running text."""
        pages, flags = set(), set()
        for section, lines in self.sections.items():
            for line in lines:
                m = re.match(r'\.(?:It )?Xr (\S+) 1', line)
                if m:
                    pages.add(m[1])
                if section in ('DESCRIPTION', 'FILES', 'EXIT STATUS') and line.startswith('.Fl '):
                    flags |= {n for n, _ in self.flags(line[1:])}
        return pages, flags


def long_name(name):
    return {v: k for k, v in SHORT.items()}.get(name, name)


def check_form(page):
    order = [s for s in SECTIONS if s in page.order]
    check(page.order == order, f'{page.path.name}: sections are {page.order}')
    check(NEEDED <= set(page.order), f'{page.path.name}: lacks {sorted(NEEDED - set(page.order))}')
    check(page.title == page.path.name[:-2].upper(), f'{page.path.name}: .Dt says {page.title}')
    check(page.sections['NAME'][0] == f'.Nm {page.path.name[:-2]}', f'{page.path.name}: NAME')
    for status in ('0', '1', '2'):
        check(f'.It {status}' in page.sections['EXIT STATUS'], f'{page.path.name}: EXIT STATUS lacks {status}')
    for lines in page.sections.values():
        check(page.path.name == 'vaultfs-keytool.1' or '' not in lines, f'{page.path.name}: an empty line')


def check_verb(entry, help_text):
    noun, verb = entry['noun'], entry['verb']
    what = f'{noun} {verb}'
    table = set(entry['options'])
    options, usage, summary = parse_help(help_text)
    same(table, options, f'{what}: table and --help')
    check(ALWAYS <= table, f'{what}: every verb takes {sorted(ALWAYS)}')
    check(usage == f'Usage: keytool {noun} {verb} [options] {entry["args"]}'.rstrip(), f'{what}: usage line {usage!r}')
    check(summary == entry['summary'] + '.', f'{what}: summary of --help')

    path = MAN / f'vaultfs-keytool-{noun}-{verb}.1'
    if not check(path.exists(), f'{path.name} is missing'):
        return
    page = Page(path)
    check_form(page)
    check(page.description == entry['summary'][0].lower() + entry['summary'][1:], f'{path.name}: .Nd is not the summary')

    listed = {}
    for flags in page.items('OPTIONS'):
        name = flags[-1][0]
        listed[name] = flags[-1][1]
        if len(flags) == 2:
            check(SHORT.get(name) == flags[0][0] and flags[0][1] == flags[1][1], f'{path.name}: short form of --{name}')
        else:
            check(name not in SHORT, f'{path.name}: --{name} without its short form')
    same(listed, options, f'{path.name}: OPTIONS and --help')
    for name in set(listed) & set(options):
        check(listed[name] == options[name][0], f'{path.name}: --{name} takes {options[name][0]}, not {listed[name]}')

    shown, args = page.synopsis()
    shown = {long_name(n): v for n, v in shown.items()}
    same(shown, table - {'help', 'version'}, f'{path.name}: SYNOPSIS and the table')
    for name in set(shown) & set(options):
        check(shown[name] == options[name], f'{path.name}: SYNOPSIS has --{name} as {shown[name]}, --help as {options[name]}')
    want = [(a.strip('[]').removesuffix('...'), not a.startswith('['), a.endswith('...')) for a in entry['args'].split()]
    check(args == want, f'{path.name}: SYNOPSIS has the arguments {args}, the table {want}')

    pages, flags = page.mentions()
    known_everywhere = {'o'}
    check({long_name(f) for f in flags} - {'key'} <= table | known_everywhere, f'{path.name}: names options it does not have: {flags}')
    check('vaultfs-keytool' in pages, f'{path.name}: SEE ALSO lacks vaultfs-keytool(1)')
    for p in pages:
        check((MAN / f'{p}.1').exists(), f'{path.name}: there is no page {p}(1)')


def check_examples(tables):
    """Every command in an EXAMPLES section names a verb and options that exist."""
    verbs = {(t['noun'], t['verb']): set(t['options']) for t in tables}
    for path in sorted(MAN.glob('*.1')):
        text = '\n'.join(Page(path).sections['EXAMPLES']).replace('\\e\n', ' ').replace('\\-', '-')
        commands = re.findall(r'^vaultfs-keytool (.*)$', text, re.M)
        if path.name != 'vaultfs.1':
            check(commands, f'{path.name}: no example')
        for command in commands:
            w = command.split()
            if not check(tuple(w[:2]) in verbs, f'{path.name}: example of a verb that is not there: {command}'):
                continue
            used = {o for o in re.findall(r'(?<=\s)--([a-z-]+)', command)}
            check(used <= verbs[tuple(w[:2])], f'{path.name}: example with options that are not there: {used - verbs[tuple(w[:2])]}')


# ------------------------------------------------------------------------------------------------------------------ overview

def check_overview(tables):
    page = Page(MAN / 'vaultfs-keytool.1')
    check_form(page)
    listed = [m[1] for line in page.sections['DESCRIPTION'] if (m := re.match(r'\.It Xr vaultfs-keytool-(\S+) 1', line))]
    check(listed == [f'{t["noun"]}-{t["verb"]}' for t in tables], 'vaultfs-keytool.1: its list of verbs is not the table')
    text = '\n'.join(page.sections['DESCRIPTION'])
    for t in tables:
        check(f'.It Xr vaultfs-keytool-{t["noun"]}-{t["verb"]} 1\n{t["summary"]}.' in text, f'vaultfs-keytool.1: summary of {t["noun"]} {t["verb"]}')
    same([f[-1][0] for f in page.items('OPTIONS')], ALWAYS, 'vaultfs-keytool.1: OPTIONS')

    nouns = {}
    for t in tables:
        nouns.setdefault(t['noun'], []).append(t)
    top = run(KEYTOOL, '--help')
    for noun, verbs in nouns.items():
        m = re.search(rf'^  {noun} +((?:[a-z-]+, )*[a-z-]+) ', top, re.M)
        check(m and m[1].split(', ') == [v['verb'] for v in verbs], f'keytool --help: the verbs of {noun}')
        each = run(KEYTOOL, noun, '--help').splitlines()
        check([line.split()[0] for line in each[2:]] == [v['verb'] for v in verbs], f'keytool {noun} --help: its verbs')
        for line, v in zip(each[2:], verbs):
            check(line.split(None, 1)[1] == v['summary'], f'keytool {noun} --help: {line}')
    pages = {p.name for p in MAN.glob('*.1')}
    same(pages, {f'vaultfs-keytool-{t["noun"]}-{t["verb"]}.1' for t in tables} | {'vaultfs.1', 'vaultfs-keytool.1'}, 'pages and verbs')
    installed = set(re.findall(r"'man/([^']+)'", (SOURCE / 'docs/meson.build').read_text()))
    same(installed, pages, 'docs/meson.build and docs/man')


# ------------------------------------------------------------------------------------------------------------------- vaultfs

def check_vaultfs():
    """vaultfs --help against its page and the completion; returns options and mount options."""
    text = run(VAULTFS, '--help')
    longs, shorts, mount = set(), set(), set()
    for line in text.splitlines():
        m = re.match(r'  (?:-(\w), |    )--([a-z-]+(?:, --[a-z-]+)*)', line)
        if m:
            longs |= set(m[2].split(', --'))
            shorts |= {m[1]} if m[1] else set()
        elif line.startswith('  -o '):
            shorts.add('o')
        elif line.startswith('         '):
            first = re.split(r'\s{2,}', line.strip())[0]
            mount |= {part.strip() for part in first.split(',')}
    longs |= set(re.findall(r'vaultfs status --([a-z]+)', text))
    longs |= set(re.findall(r'--([a-z]+)', run(VAULTFS, 'status', '--help')))
    check({'foreground', 'job', 'help', 'version', 'all', 'json', 'passphrase-file'} <= longs, f'vaultfs --help: read only {sorted(longs)}')
    check({'allow_other', 'uid=N', 'cache=close|grant'} <= mount, f'vaultfs --help: read only {sorted(mount)}')

    page = Page(MAN / 'vaultfs.1')
    check_form(page)
    listed = {n for flags in page.items('OPTIONS') for n, _ in flags}
    same(listed, longs | shorts, 'vaultfs.1: OPTIONS and --help')
    body = '\n'.join(page.sections['OPTIONS'])
    said = set()
    for line in re.findall(r'^\.It Cm (.*)$', body, re.M):
        for part in line.split(' , '):
            w = part.removeprefix('Cm ').split()
            said.add(''.join(x for x in w if x not in ('Ns', 'Ar', 'Cm')))
    same(said, mount, 'vaultfs.1: mount options and --help')
    for errno in ('EKEYEXPIRED', 'EKEYREVOKED', 'ENOKEY', 'EDQUOT', 'EKEYREJECTED', 'EIO', 'ENOSPC', 'EROFS', 'EACCES'):
        check(f'.It Er {errno}' in page.sections['DESCRIPTION'], f'vaultfs.1: {errno} is not explained')
    return longs, shorts, mount


# ---------------------------------------------------------------------------------------------------------------- completion

DRIVER = r'''
source "$1"; source "$2"
compopt() { :; }
while IFS= read -r line; do
    eval "COMP_WORDS=($line)"
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    COMPREPLY=()
    case ${COMP_WORDS[0]} in
        vaultfs) _vaultfs ;;
        *) _vaultfs_keytool ;;
    esac
    printf '%s\n' "${COMPREPLY[*]}"
done
'''


def complete(lines):
    folder = SOURCE / 'contrib/completion'
    r = subprocess.run(['bash', '-c', DRIVER, 'driver', str(folder / 'vaultfs'), str(folder / 'vaultfs-keytool')], cwd='/',
                       input='\n'.join(lines) + '\n', capture_output=True, text=True, timeout=60)
    check(r.returncode == 0 and not r.stderr, f'completion: {r.stderr.strip()}')
    got = r.stdout.splitlines()
    check(len(got) == len(lines), 'completion: answers and questions differ in number')
    return [g.split() for g in got]


def check_completion(tables, helps, vaultfs_options):
    asked, want = [], []

    def ask(line, answer, what):
        asked.append(line)
        want.append((answer, what))

    nouns = list(dict.fromkeys(t['noun'] for t in tables))
    ask("vaultfs-keytool ''", set(nouns) | {'--help', '--version'}, 'nouns')
    for noun in nouns:
        ask(f"vaultfs-keytool {noun} ''", {t['verb'] for t in tables if t['noun'] == noun} | {'--help'}, f'verbs of {noun}')
    for t in tables:
        what = f'{t["noun"]} {t["verb"]}'
        all_options = {f'--{o}' for o in t['options']}
        ask(f'vaultfs-keytool {what} --', all_options, f'options of {what}')
        for name, (arg, _, _) in helps[what].items():
            if arg is None:
                ask(f'vaultfs-keytool {what} --{name} --', all_options, f'{what}: a switch --{name} is followed by options')
            else:
                ask(f'vaultfs-keytool {what} --{name} --', set(), f'{what}: --{name} wants {arg}, no option')
    # Values: what help offers is what is proposed.
    for what, options in helps.items():
        for name, (arg, _, _) in options.items():
            if arg and '|' in arg:
                ask(f"vaultfs-keytool {what} --{name} ''", set(arg.split('|')), f'{what}: values of --{name}')
                ask(f"vaultfs-keytool {what} --{name} = ''", set(arg.split('|')), f'{what}: values of --{name}=')
    ask("vaultfs-keytool record erase --reason-code ''", {'leaver', 'duplicate', 'court', 'other'}, 'reason codes')
    ask("vaultfs-keytool grant issue --profile ''", {'card-print'}, 'profiles')
    ask("vaultfs-keytool grant issue --records ''", {'all'}, '--records')
    ask("vaultfs-keytool vault status /et", {'/etc'}, 'files')
    fields = set(re.findall(r'^\s+[A-Z]+_\(VF_FIELD_\w+, "(\w+)"', (SOURCE / 'vaultfs/record/schema.c').read_text(), re.M))
    check(len(fields) >= 29, f'only {len(fields)} fields found in schema.c')
    ask("vaultfs-keytool grant issue --fields ''", fields, 'fields')
    ask("vaultfs-keytool grant issue --fields rank,vett", {'rank,vetting', 'rank,vetting_expiry'}, 'a second field')
    ask("vaultfs-keytool record list --where ''", {f + '=' for f in fields}, 'conditions')

    longs, shorts, mount = vaultfs_options
    status = {'all', 'json', 'help'}
    ask('vaultfs -', {f'--{o}' for o in longs - {'all', 'json'}} | {f'-{o}' for o in shorts}, 'options of vaultfs')
    ask('vaultfs status --', {f'--{o}' for o in status}, 'options of vaultfs status')
    ask('vaultfs stat', {'status'}, 'vaultfs status')
    proposed = set()
    for o in mount:
        name, _, value = o.partition('=')
        proposed |= {f'{name}={v}' for v in value.split('|')} if '|' in value else {name + ('=' if value else '')}
    ask("vaultfs -o ''", proposed, 'mount options')
    ask("vaultfs -o allow_other,ui", {'allow_other,uid='}, 'a second mount option')

    for line, got, (answer, what) in zip(asked, complete(asked), want):
        check(set(got) == answer, f'completion, {what} ({line}): only proposed {sorted(set(got) - answer)}, missing {sorted(answer - set(got))}')
    return len(asked)


# --------------------------------------------------------------------------------------------------------------------- links

def anchor(heading):
    return re.sub(r'[^\w\- ]', '', heading.strip().lower()).replace(' ', '-')


def check_links():
    pages = [SOURCE / 'README.md'] + sorted((SOURCE / 'docs').glob('*.md'))
    for page in pages:
        text = re.sub(r'```.*?```', '', page.read_text(encoding='utf-8'), flags=re.S)
        for target in re.findall(r'\]\(([^)\s]+)\)', text):
            if re.match(r'[a-z]+:', target):
                continue
            name, _, fragment = target.partition('#')
            to = page.parent / name if name else page
            if check(to.exists(), f'{page.name}: link to {target}, which is not there') and fragment and to.suffix == '.md':
                anchors = {anchor(h) for h in re.findall(r'^#+ (.*)$', to.read_text(encoding='utf-8'), re.M)}
                check(fragment in anchors, f'{page.name}: link to {target}: no such heading')
        for path in set(re.findall(r'`((?:docs|contrib|vaultfs|keytool|include|tests)/[\w./-]+)`', text)):
            check((SOURCE / path).exists(), f'{page.name}: names {path}, which is not there')


def main():
    tables = json.loads(run(KEYTOOL, '--tables'))
    check(len(tables) >= 43, f'only {len(tables)} verbs')
    helps = {}
    for t in tables:
        text = run(KEYTOOL, t['noun'], t['verb'], '--help')
        helps[f'{t["noun"]} {t["verb"]}'] = parse_help(text)[0]
        check_verb(t, text)
    check_overview(tables)
    check_examples(tables)
    questions = check_completion(tables, helps, check_vaultfs())
    check_links()
    for p in problems:
        print(p)
    print(f'{len(tables)} verbs, {len(list(MAN.glob("*.1")))} pages, {questions} completions: {len(problems)} problems')
    return 1 if problems else 0


sys.exit(main())
