# SPDX-License-Identifier: MIT
"""What a print bureau does with a mounted job: copies it with the tools it knows, reads the table as a spreadsheet does, prints cards
with gLabels. Each function takes the folder of a job as the user `user` (None: as ourselves) and checks what came out."""
import csv
import hashlib
import os
import shutil
import subprocess
import unicodedata

import pictures
from world import CARD_PRINT_TEXT, check, read, skip

# Of each object gLabels needs the matrix: without one it takes zeros, and cairo then draws nothing at all.
MATRIX = 'a0="1" a1="0" a2="0" a3="1" a4="0" a5="0"'
TEMPLATE = f'''<?xml version="1.0"?>
<Glabels-document xmlns="http://glabels.org/xmlns/3.0/">
  <Template brand="vaultfs" part="card" size="A4" description="Warrant cards">
    <Label-rectangle id="0" width="85.6mm" height="54mm" round="3mm" x_waste="0mm" y_waste="0mm">
      <Layout nx="2" ny="5" x0="15mm" y0="12mm" dx="90mm" dy="55mm"/>
    </Label-rectangle>
  </Template>
  <Objects id="0" rotate="False">
    <Object-image x="3mm" y="3mm" w="32mm" h="42mm" field="photo_path" {MATRIX}/>
    <Object-text x="37mm" y="6mm" w="47mm" h="36mm" justify="Left" valign="Top" auto_shrink="True" {MATRIX}>
      <Span font_family="DejaVu Sans" font_size="7" font_weight="Regular" font_italic="False" color="0x000000ff" line_spacing="1"><Field
        name="name_on_card"/><NL/><Field name="rank"/><NL/><Field name="warrant_no"/></Span>
    </Object-text>
  </Objects>
  <Merge type="Text/Comma/Line1Keys" src="%s"/>
</Glabels-document>
'''


def need_tools():
    pictures.need_judges()
    for tool, package in (('rsync', 'rsync'), ('glabels-3-batch', 'glabels'), ('xvfb-run', 'xvfb'), ('xauth', 'xauth'),
                          ('pdfimages', 'poppler-utils'), ('pdftotext', 'poppler-utils')):
        if shutil.which(tool) is None:
            skip(f'{tool} is not installed (Debian package {package})')


def home_for(world, name, user):
    """A folder of the user's for what the tools write."""
    home = world.dir / name
    home.mkdir()
    if user:
        shutil.chown(home, user, user)
    return home


def sums(folder):
    """MD5 of each file below a folder, by path."""
    return {os.path.relpath(os.path.join(d, n), folder): hashlib.md5(read(os.path.join(d, n))).hexdigest()
            for d, _, files in os.walk(folder) for n in files}


def copies(world, top, user):
    """cp -r, tar c, rsync -a, find and md5sum give the same bytes. Returns them: path to MD5."""
    home = home_for(world, f'copies-{user}', user)
    quoted = {'top': top, 'home': home}
    script = '''
        set -eu
        cp -r {top} {home}/cp
        tar -C {top} -c . > {home}/job.tar
        mkdir {home}/tar && tar -C {home}/tar -xf {home}/job.tar
        rsync -a {top}/ {home}/rsync
        cd {top}
        find . -type f -exec md5sum {{}} + > {home}/md5sums
        find . -type d > {home}/folders
        find . -type f -printf '%P %s\\n' > {home}/sizes
        rsync -a --itemize-changes {top}/ {home}/rsync > {home}/again
        diff -r {top} {home}/cp
        ls -lR {top} > {home}/listing
    '''.format(**quoted)
    p = world.run('sh', '-c', script, user=user, timeout=1200)
    check(p.stderr == '', f'no tool complains: {p.stderr}')
    listed = {line.split('  ./', 1)[1]: line.split()[0] for line in (home / 'md5sums').read_text().splitlines()}
    for copy in ('cp', 'tar', 'rsync'):
        check(sums(home / copy) == listed, f'{copy} made the same files as md5sum saw')
    check(read(home / 'again') == b'', 'rsync finds nothing to do a second time')
    for line in (home / 'sizes').read_text().splitlines():
        path, size = line.rsplit(' ', 1)
        check((home / 'cp' / path).stat().st_size == int(size), f'{path} is as long as find says')
    return listed, home / 'cp'


def spreadsheet(top, truth):
    """The table, read as a spreadsheet reads it, is the records'; returns its rows."""
    with open(top / 'cards.csv', newline='', encoding='utf-8') as f:
        rows = list(csv.DictReader(f, strict=True))
    with open(top / 'cards-excel.csv', newline='', encoding='utf-8-sig') as f:
        check(list(csv.DictReader(f, dialect='excel', strict=True)) == rows, 'the table for Excel says the same')
    by_ref = {t['ref']: t for t in truth}
    check(sorted(r['ref'] for r in rows) == sorted(by_ref), 'a row for each record')
    for row in rows:
        t = by_ref[row['ref']]
        for field in CARD_PRINT_TEXT:
            check(row[field] == t['text'].get(field, ''), f'{row["ref"]} {field} is what the force has')
    return rows


def text_fields(top, truth, fields=CARD_PRINT_TEXT):
    """Each file below records/ is the field's value and a newline, and there is no other."""
    check(sorted(os.listdir(top / 'records')) == sorted(t['ref'] for t in truth), 'a folder for each record')
    for t in truth:
        folder = top / 'records' / t['ref']
        check(sorted(os.listdir(folder)) == sorted(fields), 'the granted fields and no others')
        for field in fields:
            check(read(folder / field) == (t['text'].get(field, '') + '\n').encode(), f'{t["ref"]} {field} is what the force has')


def flat(text):
    return ''.join(unicodedata.normalize('NFKC', text).split())


def print_cards(world, top, copy, truth, user, name='print'):
    """gLabels prints the table of the mounted job `top`, of which `copy` is a copy that we can read too; each card bears its officer's
    name and picture. Returns the PDF's size."""
    home = home_for(world, f'{name}-{user}', user)
    (home / 'card.glabels').write_text(TEMPLATE % (top / 'cards.csv'))
    env = {'HOME': str(home), 'XDG_CONFIG_HOME': str(home), 'LC_ALL': 'C.UTF-8'}
    world.run('xvfb-run', '-a', 'glabels-3-batch', '-o', home / 'cards.pdf', home / 'card.glabels', user=user, env=env, timeout=600)
    text = flat(world.run('pdftotext', home / 'cards.pdf', '-').stdout)
    for t in truth:
        check(flat(t['text']['name_on_card']) in text, f'the name of {t["ref"]} is printed')
        check(flat(t['text']['warrant_no']) in text, f'the number of {t["ref"]} is printed')
    listing = [line.split() for line in world.run('pdfimages', '-list', home / 'cards.pdf').stdout.splitlines()[2:]]
    check(len(listing) == len(truth), f'{len(listing)} pictures for {len(truth)} cards')
    # In the order of the table: the picture on a card is that of the person whose name is on it.
    with open(copy / 'cards.csv', newline='', encoding='utf-8') as f:
        order = [r['ref'] for r in csv.DictReader(f)]
    by_ref = {t['ref']: t for t in truth}
    world.run('pdfimages', home / 'cards.pdf', home / 'printed', timeout=600)
    for at, ref in enumerate(order):
        photo = by_ref[ref]['photo']
        wrong = printed_wrong(world.force / photo['file'], photo['orientation'], home / f'printed-{at:03}.ppm')
        check(wrong is None, f'card {at + 1}, {ref}: {wrong}')
    return (home / 'cards.pdf').stat().st_size


def printed_wrong(source, orientation, printed):
    from PIL import Image, ImageOps
    with Image.open(source) as from_camera, Image.open(printed) as got:
        upright = from_camera if orientation == 1 else ImageOps.exif_transpose(from_camera)
        upright, got = upright.convert('RGB'), got.convert('RGB')
        if upright.size != got.size:
            return f'{got.size} printed instead of {upright.size}'
        db = pictures.psnr(upright, got)
        return None if db > pictures.MIN_PSNR else f'another picture ({db:.1f} dB)'
