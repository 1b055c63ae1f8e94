# SPDX-License-Identifier: MIT
"""What an exposure must say, worked out anew from the rules in docs/format.md (H), without any of our code.

A Model is told what happened: records, devices, grants, reads, erasures, which logs there are and in which state. expect() answers, for
each ref and part, the tier, the words of evidence, fields and times that exposed.csv must have.
"""
TEXT, IMAGE = 'text', 'image'
IMAGES = {'photo', 'signature'}
SCHEMA = ['name_on_card', 'rank', 'warrant_no', 'photo', 'signature', 'card_type', 'card_serial', 'issue_no', 'valid_from', 'valid_to', 'endorsement',
          'chip_type', 'chip_uid', 'person_type', 'surname', 'forenames', 'title', 'shoulder_no', 'unit_code', 'station', 'grade']  # what may be granted: classes A and B
TEXTS = [f for f in SCHEMA if f not in IMAGES]
READ_WORDS = ['log', 'log-unsealed', 'log-damaged', 'log-unknown-device']
PRESUMED_WORDS = ['presumed-compromised', 'presumed-no-log', 'presumed-damaged-log', 'presumed-cut-log', 'presumed-after-handin', 'presumed-gap', 'presumed-killed',
                  'presumed-unknown-list']


def part_of(field):
    return IMAGE if field in IMAGES else TEXT


class Grant:
    def __init__(self, gid, device, refs, fields, issued, renews=None, known=True, manifest=None, online=False, until=None):
        self.online, self.until = online, until
        self.id, self.device, self.refs, self.fields, self.issued, self.renews, self.known, self.manifest = gid, device, set(refs), set(fields), issued, renews, known, manifest


class Read:
    """One entry that says that something was read."""

    def __init__(self, at, grant, refs, parts, fields, event='open'):
        self.at, self.grant, self.refs, self.parts, self.fields, self.event = at, grant, refs, parts, set(fields), event


class Log:
    """A log as the program is given it: reads, each with whether it is sealed; and what it is worth."""

    def __init__(self, device, kind, state, reads, sealed, sealed_until, last, gap=False, steps=False, strays=None, killed=False, forked=False):
        self.device, self.kind, self.state = device, kind, state  # kind: folder, copy; state: good, damaged, unknown
        self.reads, self.sealed, self.sealed_until, self.last = reads, sealed, sealed_until, last
        self.gap, self.steps, self.strays = gap, steps, strays or {}  # strays: grant -> is its list named
        self.forked = forked  # bad because another log of the device has other entries in the same places
        self.killed = killed  # a mount of it has no unmount: within it, or, of a folder, at its end


class Desk:
    """A log of the key desk as the program is given it. releases: (grant, ref or 'all', part); closed: when it destroyed the keys of which grants."""

    doubted = None  # when a person had to confirm its clock and store

    def __init__(self, kind, state, releases, closed, speaks_until, knows_batch=True):
        self.kind, self.state, self.releases, self.closed = kind, state, releases, closed  # state: good, damaged, strange
        self.speaks_until, self.knows_batch = speaks_until, knows_batch


class Model:
    desk = None  # a Desk, or None: its log was not given

    def __init__(self, refs, images):
        self.refs = set(refs)          # every ref the force ever had
        self.images = images           # ref -> set of images that it has
        self.grants = {}               # id -> Grant
        self.devices = {}              # key -> name
        self.logs = []
        self.handed_in = {}            # device -> entries that the vault knows to have been handed in

    # ------------------------------------------------------------------------------------------------------------- scope

    def family(self, gid):
        found = {gid}
        while True:
            more = {g.id for g in self.grants.values() if g.renews in found} | {self.grants[i].renews for i in found if self.grants[i].renews}
            if more <= found:
                return found
            found |= more

    def scope(self, question):
        kind, what = question['scope']
        known = {g.id for g in self.grants.values() if g.known}
        if kind == 'all':
            return known, set(self.devices)
        if kind == 'device':
            devices = {k for k, name in self.devices.items() if name == what}
            return {g for g in known if self.grants[g].device in devices}, devices
        grants = self.family(what) & known
        return grants, {self.grants[g].device for g in grants}

    # ------------------------------------------------------------------------------------------------------ what is presumed

    def best_log(self, device):
        good = [log for log in self.logs if log.device == device and log.state == 'good']
        if not good:
            return None
        most = max(log.sealed for log in good)
        return sorted([log for log in good if log.sealed == most], key=lambda log: log.kind != 'folder')[0]

    def presumption(self, device, q):
        """The word for all that this device was granted, or None. `q`: since, until, compromised, off, safe."""
        if device is None:
            return 'presumed-no-log'
        until = q.get('until')
        compromised = q.get('compromised')
        mine = [log for log in self.logs if log.device == device]
        stated = compromised is not None and q.get('off') and q.get('safe')
        if stated and any(log.last > compromised for log in mine):
            stated = False
        if compromised is not None and not stated and (until is None or until >= compromised):
            return 'presumed-compromised'
        best = self.best_log(device)
        if best is None:
            if mine:
                return 'presumed-damaged-log'
            return 'presumed-cut-log' if self.handed_in.get(device) else 'presumed-no-log'
        most = max([log.sealed for log in mine] + [self.handed_in.get(device, 0)])
        folders = [log.sealed for log in mine if log.kind == 'folder' and log.state == 'good']
        if any(log.state != 'good' and (log.forked or log.sealed >= best.sealed) for log in mine):
            return 'presumed-damaged-log'
        if best.sealed < most:
            return 'presumed-damaged-log' if any(log.state != 'good' for log in mine) else 'presumed-cut-log'
        if folders and max(folders) < most:
            return 'presumed-damaged-log' if any(log.state != 'good' for log in mine) else 'presumed-cut-log'
        if best.kind == 'copy':
            ends = [t for t in (until, compromised if stated else None) if t is not None]
            if not ends or best.sealed_until < min(ends) + 3600 or best.steps:
                return 'presumed-after-handin'
        if best.gap:
            return 'presumed-gap'
        return 'presumed-killed' if best.killed else None

    # ------------------------------------------------------------------------------------------------------ what was released

    def released(self, gid):
        """(ref, part) that the desk's log says it gave out, good or not."""
        out = set()
        for grant, ref, part in self.desk.releases if self.desk else []:
            if grant == gid:
                out |= {(r, part) for r in (self.grants[gid].refs if ref == 'all' else [ref])}
        return out

    def covered(self, gid, now):
        """Is it certain that nothing else of this grant was released?"""
        desk, g = self.desk, self.grants[gid]
        if desk is None or desk.state != 'good' or not desk.knows_batch:
            return False
        out = self.released(gid)
        for log in self.logs:
            for read, _ in log.reads:
                if read.grant != gid:
                    continue
                for part in read.parts:
                    refs = read.refs if read.refs != 'all' else [r for r in g.refs if part == TEXT or self.images.get(r)]
                    if any((r, part) not in out for r in refs):
                        return False
        if desk.doubted is not None and g.issued <= desk.doubted and desk.closed.get(gid, desk.doubted) >= desk.doubted:
            return False
        if gid in desk.closed or desk.speaks_until > g.until + 3600:
            return True
        return desk.kind == 'folder' and desk.speaks_until >= now - 7 * 3600

    # ------------------------------------------------------------------------------------------------------------ the answer

    def expect(self, q):
        in_scope, devices = self.scope(q)
        since, until = q.get('since'), q.get('until')
        cells = {}

        def cell(ref, part):
            return cells.setdefault((ref, part), {'readable': set(), 'known': False, 'stray': False, 'released': False, 'unproven': False, 'withheld': False, 'presumed': set(), 'word': None, 'in': [], 'out': []})

        def grant_to(refs, fields, known, word, how=None, only=None):
            for ref in refs:
                for part in (TEXT, IMAGE):
                    if only is not None and (ref, part) not in only:
                        continue
                    c = cell(ref, part)
                    have = {f for f in fields if part_of(f) == part and (part == TEXT or f in self.images.get(ref, set()))}
                    if not have:
                        continue
                    c['readable'] |= have
                    c[how or ('known' if known else 'stray')] = True
                    if word:
                        c['presumed'] |= have
                        if c['word'] is None or PRESUMED_WORDS.index(word) < PRESUMED_WORDS.index(c['word']):
                            c['word'] = word

        everybody = set(self.refs)
        for log in self.logs:
            for r in log.reads:
                if r[0].refs != 'all':
                    everybody |= set(r[0].refs)
        for gid in in_scope:
            g = self.grants[gid]
            word = self.presumption(g.device, q)
            if until is not None and g.issued > until and g.issued <= q.get('now', g.issued):
                word = None
            if not g.online:
                grant_to(g.refs, g.fields, True, word)
                continue
            out = self.released(gid)
            grant_to(g.refs, g.fields, True, word, 'released', out)
            if not self.covered(gid, q['now']):
                grant_to(g.refs, g.fields, True, word, 'unproven')
                continue
            for ref in g.refs:
                for part in (TEXT, IMAGE):
                    if (ref, part) not in out and any(part_of(f) == part and (part == TEXT or f in self.images.get(ref, set())) for f in g.fields):
                        cell(ref, part)['withheld'] = True
                    cell(ref, part)

        # Grants that the vault does not know, but a log does.
        for log in self.logs:
            for stray in log.strays:
                g = self.grants[stray]
                if q['scope'][0] != 'all' and log.device is not None and log.device not in devices:
                    continue
                same = [k for k in self.grants.values() if k.known and k.manifest == g.manifest] if log.strays[stray] else []
                if q['scope'][0] == 'grant' and same and not any(k.id in in_scope for k in same):
                    continue
                word = self.presumption(log.device, q)
                grant_to(same[0].refs if same else everybody, same[0].fields if same else SCHEMA, False, word)
                if not same:
                    for ref in everybody:
                        cell(ref, IMAGE)['readable'] |= IMAGES
                        cell(ref, IMAGE)['stray'] = True
                        if word:
                            cell(ref, IMAGE)['presumed'] |= IMAGES
                            c = cell(ref, IMAGE)
                            if c['word'] is None or PRESUMED_WORDS.index(word) < PRESUMED_WORDS.index(c['word']):
                                c['word'] = word

        for log in self.logs:
            for read, sealed in log.reads:
                g = self.grants.get(read.grant)
                known = g is not None and g.known
                if q['scope'][0] != 'all':
                    if known and read.grant not in in_scope and not (q['scope'][0] == 'device' and log.device in devices):
                        continue
                    if not known and log.device is not None and log.device not in devices:
                        continue
                word = {'good': 'log' if sealed else 'log-unsealed', 'damaged': 'log-damaged', 'unknown': 'log-unknown-device'}[log.state]
                # A clock may be an hour wrong without an entry that says so.
                start = read.at - 3600 - (120 if read.event == 'repeat' else 0)
                inside = (since is None or read.at + 3600 >= since) and (until is None or start <= until)
                if log.steps:
                    inside = True
                if read.refs == 'all' and not known:
                    same = [k for k in self.grants.values() if k.known and g is not None and k.manifest == g.manifest]
                    if not same:
                        for ref in everybody:
                            c = cell(ref, TEXT)
                            if inside:
                                c['presumed'] |= read.fields
                                c['word'] = c['word'] or 'presumed-unknown-list'
                            else:
                                c['out'].append((word, read.at, read.fields))
                        continue
                refs = g.refs if read.refs == 'all' else read.refs
                for ref in refs:
                    for part in read.parts:
                        cell(ref, part)['in' if inside else 'out'].append((word, read.at, {f for f in read.fields if part_of(f) == part}))

        out = {}
        listed = everybody if q['scope'][0] == 'all' else {ref for ref, _ in cells}
        for ref in listed:
            for part in (TEXT, IMAGE):
                out[ref, part] = self.line(cell(ref, part))
        return out

    @staticmethod
    def line(c):
        fields, times = set(), (None, None)
        readable = c['known'] or c['stray'] or c['released'] or c['unproven']
        if c['in'] or c['word']:
            words = []
            fields = set(c['presumed'])
            if c['in']:
                words.append(min((r[0] for r in c['in']), key=READ_WORDS.index))
                fields |= set().union(*(r[2] for r in c['in']))
                times = (min(r[1] for r in c['in']), max(r[1] for r in c['in']))
            if c['word']:
                words.append(c['word'])
            return 2, '+'.join(words), fields, times
        if c['out']:
            times = (min(r[1] for r in c['out']), max(r[1] for r in c['out']))
            return 1, 'log-outside-window', c['readable'].union(*(r[2] for r in c['out'])), times
        if readable:
            word = 'granted' if c['known'] else 'released' if c['released'] else 'granted-online' if c['unproven'] else 'granted-unknown'
            return 1, word, set(c['readable']), times
        return 0, 'not-released' if c['withheld'] else 'none', fields, times
