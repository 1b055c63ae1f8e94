# SPDX-License-Identifier: MIT
"""Logs with everything in them that a report shows, and that somebody who can call a program what he likes may have put there."""
import datetime
import random

UTC = datetime.timezone.utc
START = datetime.datetime(2026, 10, 12, 8, 0, tzinfo=UTC)  # a Monday
CARDS, REPRINTS = 'R6A3DSKYW22IB5F5', 'Q2WE3RT4YU5IO6PA'
HOSTILE = '/tmp/<script>window.bad=1</script>&amp;\x1b[31m\' onload=window.bad=2 x="'
HOSTILE_JOB = '</td></table><img src=x onerror=window.bad=3>'
LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'


def refs(n, seed=1):
    r = random.Random(seed)
    return sorted({''.join(r.choice(LETTERS) for _ in range(8)) for _ in range(n)})


def entry(at, event, grant='', job='', recipient='', ref='', part='', fields='', uid='', pid='', program='', count='', result='ok'):
    return '\t'.join(map(str, (round(at.timestamp() * 1e6), event, grant, job, recipient, ref, part, fields, uid, pid, program, count, result)))


def opened(at, ref, image, field, program='/opt/cardpress/bin/cardpress', uid=1000, grant=CARDS, job='cards', **more):
    return entry(at, 'open', grant, job, 'printer', ref, 'image' if image else 'text', field, uid, 4711, program, **more)


def ordinary(names, days, reads, seed=2):
    """Working days at a bureau: a list in the morning, cards through the day, thumbnails."""
    r = random.Random(seed)
    out = []
    for day in range(days):
        date = START + datetime.timedelta(days=day)
        if date.weekday() >= 5:
            continue
        out.append(entry(date, 'open', CARDS, 'cards', 'printer', 'all:' + 'ab' * 32, 'text', 'name_on_card,rank,warrant_no,card_serial,valid_to',
                         1000, 77, '/opt/cardpress/bin/cardpress'))
        for _ in range(reads):
            at = date + datetime.timedelta(seconds=min(39000, max(60, r.gauss(14000, 7000))), microseconds=r.randrange(10 ** 6))
            image = r.random() < .6
            out.append(opened(at, r.choice(names), image, 'photo' if image else r.choice(('name_on_card', 'rank')),
                              r.choice(('/opt/cardpress/bin/cardpress',) * 5 + ('/usr/bin/cat', '/usr/lib/x86_64-linux-gnu/tumbler-1/tumblerd'))))
    return out


def odd(names):
    """One of everything that is to be noticed."""
    def at(day, **more):
        return START + datetime.timedelta(days=day, **more)
    out = [opened(at(15, hours=15, milliseconds=400 * i), ref, True, 'photo', '/usr/bin/rsync', 0) for i, ref in enumerate(names[:300])]
    out += [opened(at(2, hours=3), names[3], True, 'photo', 'unknown', 1001, REPRINTS, 'reprints'),
            entry(at(5, hours=3), 'repeat', REPRINTS, 'reprints', 'printer', names[3], 'image', 'photo', 1001, 88, '/usr/bin/python3.11', 998),
            opened(at(9, hours=2), names[4], False, 'rank', HOSTILE, 1001, REPRINTS, 'reprints'),
            opened(at(9, hours=2, seconds=3), names[5], False, 'rank', '/home/ö/Ärger/日本', 1001, 'AAAAAAAAAAAAAAAA', HOSTILE_JOB)]
    out += [entry(at(12, hours=1, seconds=i), 'deny', CARDS, 'cards', 'printer', names[1], 'text', 'rank', 1000, 5, '/usr/bin/cat', result='EKEYEXPIRED')
            for i in range(10)]
    out.append(entry(at(12, hours=1, minutes=2), 'deny', uid=1000, pid=0, program='unknown', count=431, result='counted'))
    return out


def lines(names, days=19, reads=60, oddities=True):
    out = ordinary(names, days, reads) + (odd(names) if oddities else [])
    out.sort(key=lambda line: int(line.split('\t', 1)[0]))
    if oddities:
        last = START + datetime.timedelta(days=days)
        out += [entry(last, 'mount'), entry(last + datetime.timedelta(hours=5), 'step'), entry(last + datetime.timedelta(hours=5, seconds=1), 'unmount')]
    return '\n'.join(out) + '\n'
