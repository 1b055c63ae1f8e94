#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The maker of synthetic forces does what it says: same seed, same bytes; what it writes is what its truth tells.

usage: check_synth.py VAULTFS-SYNTH. Standard library only: an own reader of JPEG and TIFF, so that no picture library's leniency hides a
fault. Ends with status 1 at the first thing that is not so.
"""
import csv
import hashlib
import io
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import unicodedata


def check(true, *what):
    if not true:
        print('check_synth:', *what, file=sys.stderr)
        sys.exit(1)


def tree(top):
    """Path -> what is there, for all below top."""
    found = {}
    for folder, dirs, files in os.walk(top):
        for name in dirs + files:
            path = os.path.join(folder, name)
            kind = ('link ' + os.readlink(path) if os.path.islink(path) else 'folder' if os.path.isdir(path)
                    else hashlib.sha256(open(path, 'rb').read()).hexdigest())
            found[os.path.relpath(path, top)] = kind
    return found


# ------------------------------------------------------------------------------------------------------------------ JPEG

def segments(data, name):
    """(marker, body) up to the scan, then the bytes behind the end of the image."""
    check(data[:2] == b'\xff\xd8', name, 'has no SOI')
    at, found = 2, []
    while True:
        check(data[at] == 0xff, name, 'has no marker at', at)
        marker, size = data[at + 1], struct.unpack_from('>H', data, at + 2)[0]
        found.append((marker, data[at + 4:at + 2 + size]))
        at += 2 + size
        if marker == 0xda:
            break
    while True:  # scans, and what is between those of a progressive picture
        at = data.index(b'\xff', at)
        marker = data[at + 1]
        if marker == 0xd9:
            return found, data[at + 2:]
        if marker == 0 or 0xd0 <= marker <= 0xd7:
            at += 2
        else:
            at += 2 + struct.unpack_from('>H', data, at + 2)[0]


class Tiff:
    SIZE = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1}

    def __init__(self, data):
        self.data = data
        self.order = {b'MM': '>', b'II': '<'}[data[:2]]
        check(self.get('H', 2) == 42, 'TIFF without 42')

    def get(self, form, at):
        return struct.unpack_from(self.order + form, self.data, at)[0]

    def ifd(self, at):
        """Tag -> raw value, and the offset of the next IFD."""
        n, tags = self.get('H', at), {}
        for i in range(n):
            e = at + 2 + 12 * i
            tag, kind, count = self.get('H', e), self.get('H', e + 2), self.get('I', e + 4)
            check(not tags or tag > max(tags), 'tags are not in order')
            size = self.SIZE[kind] * count
            start = e + 8 if size <= 4 else self.get('I', e + 8)
            check(start + size <= len(self.data), 'a tag points outside')
            tags[tag] = (start, size)
        return tags, self.get('I', at + 2 + 12 * n)


def exif(body):
    t = Tiff(body[6:])
    zero, next_at = t.ifd(t.get('I', 4))
    found = {'exif'}
    sub, _ = t.ifd(t.get('I', zero[0x8769][0]))
    found |= {'serial'} if 0xa431 in sub else set()
    found |= {'makernote'} if 0x927c in sub else set()
    if 0x8825 in zero:
        gps, _ = t.ifd(t.get('I', zero[0x8825][0]))
        check(gps[2][1] == 24 and gps[4][1] == 24, 'GPS without degrees')
        found.add('gps')
    if next_at:
        one, _ = t.ifd(next_at)
        start, size = (t.get('I', one[tag][0]) for tag in (0x0201, 0x0202))
        thumb = t.data[start:start + size]
        check(thumb[:2] == b'\xff\xd8' and thumb[-2:] == b'\xff\xd9', 'the thumbnail is no JPEG')
        found.add('thumbnail')
    return found, t.get('H', zero[0x0112][0]) if 0x0112 in zero else None


def look(data, name):
    """What a photo carries: kinds, orientation tag, stored size."""
    segs, after = segments(data, name)
    kinds, tag, size = set(), None, None
    for marker, body in segs:
        if marker == 0xe1 and body.startswith(b'Exif\0\0'):
            more, tag = exif(body)
            kinds |= more
        elif marker == 0xe1 and body.startswith(b'http://ns.adobe.com/xap/1.0/\0'):
            kinds.add('xmp')
        elif marker == 0xe2 and body.startswith(b'ICC_PROFILE\0'):
            kinds.add('icc')
        elif marker == 0xe2 and body.startswith(b'MPF\0'):
            t = Tiff(body[4:])
            entries = t.ifd(t.get('I', 4))[0][0xb002][0]
            start = data.index(b'MPF\0MM') + 4 + t.get('I', entries + 24)
            check(len(data) - len(after) == start == t.get('I', entries + 4), name, 'MPF points elsewhere')
            check(data[start:start + 2] == b'\xff\xd8', name, 'no second picture')
            kinds.add('mpf')
            after = after[t.get('I', entries + 20):]
        elif marker == 0xed and body.startswith(b'Photoshop 3.0\0008BIM'):
            kinds.add('iptc')
        elif marker == 0xe0 and body.startswith(b'JFXX\0'):
            kinds.add('jfxx')
        elif marker == 0xfe:
            kinds.add('comment')
        elif marker in (0xc0, 0xc2):
            size = struct.unpack_from('>HH', body, 1)[::-1]
    return kinds | ({'trailing'} if after else set()), tag, size


# ----------------------------------------------------------------------------------------------------------------- tables

def check_text(top, manifest, truth):
    rows = list(csv.reader(open(top + '/force.csv', newline='', encoding='utf-8'), strict=True))
    fields = dict(line.rstrip('\n').rsplit(' = ', 1) for line in open(top + '/force.map', encoding='utf-8'))
    check(set(fields) == set(rows[0]) and len(rows) == len(truth) + 1 == manifest['records'] + 1, 'rows and columns')
    check(len({r['A']['warrant_no'] for r in truth}) == len(truth), 'a warrant number twice')
    classes = {c['field']: c['class'] for c in manifest['columns'] if c['field']}
    check(len(classes) == 27, 'not every text field has a column')
    for row, record in zip(rows[1:], truth):
        cells = {fields[c]: v for c, v in zip(rows[0], row) if fields[c] != 'ignore'}
        check(cells == {**record['A'], **record['B'], **record['C']}, 'row', record['row'], 'is not its truth')
        check(all(classes[f] == k for k in 'ABC' for f in record[k]), 'classes')
        check(all(v == unicodedata.normalize('NFC', v) for v in cells.values()), 'not NFC')
        check(len(cells['name_on_card']) <= 40 and re.match(manifest['warrant_pattern'], cells['warrant_no']), 'form')
    text = open(top + '/force.csv', encoding='utf-8', newline='').read()
    check('\r\n' in text and '""' in text and not text.isascii(), 'no CRLF, no doubled quote or nothing but ASCII')
    check(any(r['A']['warrant_no'].startswith('0') for r in truth), 'no leading zero')


def check_photos(top, manifest, truth):
    seen, turns, kinds, whole, fragments = set(), set(), set(), set(), []
    lo, hi = manifest['options']['photo_kb']
    for record in truth:
        p = record['photo']
        check((p is None) == (record['lacks'] == 'photo'), 'a photo lacks that should be there, or the other way')
        if not p:
            continue
        data = open(os.path.join(top, p['file']), 'rb').read()
        found, tag, size = look(data, p['file'])
        check(found == set(p['metadata']) and tag == p['tag'], p['file'], found, tag, 'is not', p['metadata'], p['tag'])
        check(list(size) == [p['stored_width'], p['stored_height']], p['file'], 'size')
        check(sorted(size) == sorted((p['width'], p['height'])) and p['width'] < p['height'], p['file'], 'upright size')
        check((p['tag'] or 1) == p['orientation'], p['file'], 'orientation')
        check(p['needs_fit'] or lo * 1024 <= len(data) <= hi * 1000, p['file'], 'has', len(data), 'bytes')
        check(data.count(bytes.fromhex(p['fragment'])) == 1, p['file'], 'fragment')
        fragments.append(p['fragment'])
        seen.add(hashlib.sha256(data).digest())
        turns.add((p['orientation'], p['lossless_turn']))
        whole.add(p['stored_width'] % 16 == 0 and p['stored_height'] % 16 == 0)
        kinds |= found
    n = manifest['counts']['photos']
    check(len(seen) == n == len(set(fragments)), 'two photos are the same')
    check({o for o, _ in turns} == set(range(1, 9)) and whole == {True, False}, 'not every orientation and size', turns)
    check({o for o, lossless in turns if not lossless} >= {2, 3, 4, 6, 7, 8}, 'no turn needs a re-encoding', turns)
    check(kinds == set(manifest['counts']['metadata']), 'no photo has', set(manifest['counts']['metadata']) - kinds)
    check(sum(r['photo'] is not None and r['photo']['needs_fit'] for r in truth) == 2, 'large photos')


def check_upright(top, truth):
    """The stamp, read where --help says it is, in the upright pictures: all orientations bring it to the same corner."""
    for n, record in enumerate(truth):
        p = record['photo']
        data = open('{}/truth/photos/{}.ppm'.format(top, record['A']['warrant_no']), 'rb').read()
        head = 'P6\n{} {}\n255\n'.format(p['width'], p['height']).encode()
        check(40960 <= os.path.getsize(os.path.join(top, p['file'])) <= 50000, p['file'], 'is not of 40 to 50 KB')
        check(data.startswith(head) and len(data) == len(head) + p['width'] * p['height'] * 3, 'PPM')
        c = max(5, p['width'] // 60)
        x, y = p['width'] // 25 + c // 2, p['height'] - p['height'] // 25 - 5 * c + c // 2
        bits = ''.join('1' if data[len(head) + ((y + row * c) * p['width'] + x + cell * c) * 3] > 128 else '0'
                       for row in range(5) for cell in range(8))
        check('{:010x}'.format(int(bits, 2)) == p['stamp'] and int(bits[:24], 2) == n, p['file'], 'is not upright or not theirs')


def check_bad(top):
    expected = [json.loads(line) for line in open(top + '/bad.expected.jsonl', encoding='utf-8')]
    raw = open(top + '/bad.csv', 'rb').read()
    rows = list(csv.reader(io.StringIO(raw.decode('latin-1'), newline=''), strict=True))
    check(max(e['row'] or 0 for e in expected) == len(rows), 'bad.csv has rows that nobody expects')
    column = rows[0].index('Warrant')
    for e in expected:
        if e['row'] is not None and 'warrant_no' in e:
            check(rows[e['row'] - 1][column].strip() == e['warrant_no'], 'row', e['row'], 'is another')
    kinds = {e['kind']: e for e in expected}
    check(len(kinds) >= 75 and {e['expect'] for e in expected} == {'accept', 'reject', 'either', 'none'}, 'kinds')
    check(kinds['nfd_name']['A']['name_on_card'] == 'Zo\u00eb Si\u00e2n' and 'Zoe\u0308'.encode() in raw, 'NFD')
    check(len(kinds['name_40_characters']['A']['name_on_card']) == 40, 'forty characters')
    check({'warned', 'refused', 'missing', 'orphan', 'accept'} == {e['photo_expect'] for e in expected if 'photo_expect' in e}, 'photos')

    def photo(kind):
        return '{}/bad.photos/{}.jpg'.format(top, kinds[kind]['warrant_no'])
    check(os.path.islink(photo('photo_symlink')) and os.path.isdir(photo('photo_is_directory')), 'link, folder')
    check(not os.path.exists(photo('photo_missing')) and os.path.getsize(photo('photo_empty')) == 0, 'missing, empty')
    check(os.path.getsize(photo('photo_over_1_mib')) > 1 << 20, 'over 1 MiB')
    for kind, size in (('photo_huge_declared_size', (65500, 65500)), ('photo_too_small', (200, 240)), ('photo_all_metadata', (500, 653))):
        check(look(open(photo(kind), 'rb').read(), kind)[2] == size, kind)
    first, second = (open(photo('photo_same_file_' + n), 'rb').read() for n in ('first', 'second'))
    check(first == second, 'the same picture is not the same')
    for line in open(top + '/files.expected.jsonl'):
        check(os.path.isfile(os.path.join(top, json.loads(line)['file'])), line)


def main():
    synth = sys.argv[1]

    def run(out, *args):
        return subprocess.run([synth, '--out', out, *args], stderr=subprocess.PIPE, check=False).returncode

    with tempfile.TemporaryDirectory() as tmp:
        a, b, c, d, f = (os.path.join(tmp, n) for n in 'abcdf')
        ask = ('--records', '256', '--photos', 'mixed', '--bad', '--large-photos', '2', '--signatures', '10', '--protected', '5',
               '--incomplete', '3')
        check(run(a, *ask, '--seed', '7', '--jobs', '1') == 0, 'the first run failed')
        check(run(b, *ask, '--seed', '7', '--jobs', '3') == 0, 'the second run failed')
        check(tree(a) == tree(b), 'the same seed gave other bytes')
        check(run(c, '--records', '40', '--seed', '8', '--photos', 'none') == 0, 'the third run failed')
        check(run(d, '--records', '40', '--seed', '9', '--photos', 'none') == 0, 'the fourth run failed')
        check(tree(c)['force.csv'] != tree(d)['force.csv'], 'another seed gave the same bytes')
        check('photos' not in tree(c), 'photos nobody asked for')
        manifest = json.load(open(a + '/manifest.json', encoding='utf-8'))
        truth = [json.loads(line) for line in open(a + '/truth/records.jsonl', encoding='utf-8')]
        check_text(a, manifest, truth)
        check_photos(a, manifest, truth)
        check_bad(a + '/bad')
        check(run(f, '--records', '32', '--photos', 'mixed', '--photo-kb', '40-50', '--truth-photos') == 0, 'the fifth run failed')
        check_upright(f, [json.loads(line) for line in open(f + '/truth/records.jsonl', encoding='utf-8')])
        check(manifest['counts']['protected'] == {'RESTRICTED': 8, 'COVERT': 4}, manifest['counts']['protected'])
        signed = [r['signature']['file'] for r in truth if r['signature']]
        check(len(signed) == manifest['counts']['signatures'] in (25, 26), 'signatures')
        check(all(open(os.path.join(a, f), 'rb').read(8) == b'\x89PNG\r\n\x1a\n' for f in signed), 'a signature is no PNG')
        check(sum(r['lacks'] is not None for r in truth) in (7, 8), 'incomplete')
        marks = open(a + '/truth/markers.txt', encoding='utf-8').read().splitlines()
        check(len(marks) > 1000 and all(len(m.encode()) >= 8 for m in marks), 'markers')
        check(run(a, *ask) == 1, 'wrote into a folder that was not empty')
        check(run(tmp + '/e') == 2 and run(tmp + '/e', '--records', '0') == 2, 'wrong usage is not status 2')
        check(run(tmp + '/e', '--records', '9', '--photo-kb', '50-51') == 2, 'wrong sizes are not status 2')


main()
