# SPDX-License-Identifier: MIT
"""The tools a print bureau knows work in the mount as in any folder: copying, archiving, searching, a spreadsheet, a card program. As root
and as an ordinary user, who both get the same bytes."""
import os

import bureau
import pictures
from world import CARD_PRINT_TEXT, World, check, unprivileged_user

RECORDS = 40


def work(world, name, user):
    station, enrol = world.station(name, owner=user)
    world.deliver(station, enrol, user=user, out=world.dir / f'{name}.grant')
    mnt = world.mount(station, user=user)
    top = mnt / 'cards'
    listed, copy = bureau.copies(world, top, user)
    signatures = sum(t['signature'] is not None for t in world.truth)
    check(len(listed) == 3 + RECORDS + signatures + len(CARD_PRINT_TEXT) * RECORDS, 'every file was copied')
    bureau.spreadsheet(copy, world.truth)
    bureau.text_fields(copy, world.truth)
    counts = pictures.same_pictures(world.force, world.truth, copy / 'photos')
    check(counts['turned'] > RECORDS // 4 and counts['photos'] == RECORDS, f'there were photos to be turned: {counts}')
    pictures.same_signatures(world.force, world.truth, copy / 'signatures')
    check(pictures.no_metadata(copy) == len(listed), 'exiftool looked at every file')
    if user == unprivileged_user():
        size = bureau.print_cards(world, top, copy, world.truth, user)
        print(f'{RECORDS} cards printed, {size} bytes')
    print(f'{user or "ourselves"}: {len(listed)} files, {counts}')
    world.unmount(mnt, user=user)
    return listed


def wrong_places(world):
    """Where a mount would hide a station or another mount it is refused, at once or after the time that one may take to end."""
    first, _ = world.station('first')
    second, _ = world.station('second')
    for where in (first, first / 'log', first.parent):
        p = world.run(os.environ['VAULTFS'], first, where, expect=1)
        check(str(where) in p.stderr and p.stderr.count('\n') == 1 and not os.path.ismount(where), f'its own folder: {p.stderr}')
    mnt = world.mount(first)
    p = world.run(os.environ['VAULTFS'], second, mnt, expect=1)
    check('another station' in p.stderr and 'fusermount3 -u' in p.stderr, f'a mount that is there: {p.stderr}')
    world.unmount(mnt)
    (mnt / 'holiday.txt').write_text('behind the mount')
    p = world.run(os.environ['VAULTFS'], second, mnt)
    world.mounts.append((mnt, None))
    check('not empty' in p.stderr and 'no live grant' in p.stderr, f'what is hidden, and that there is nothing yet, is said: {p.stderr}')
    world.unmount(mnt)
    check((mnt / 'holiday.txt').read_text() == 'behind the mount', 'and is there afterwards')
    for wrong in (world.vault, world.force, world.dir / 'nothing'):
        p = world.run(os.environ['VAULTFS'], wrong, mnt, expect=1)
        check('not a station' in p.stderr and str(wrong) in p.stderr, f'no station: {p.stderr}')


bureau.need_tools()
world = World(records=RECORDS, synth=('--photos', 'mixed', '--signatures', '50', '--photo-kb', '40-120'))
mine = work(world, 'printer', None)
user = unprivileged_user()
if user:
    theirs = work(world, 'bureau', user)
    # Each says whose it is, and where it is mounted.
    own = {'GRANT.txt', 'cards.csv', 'cards-excel.csv'}
    check({p: s for p, s in mine.items() if p not in own} == {p: s for p, s in theirs.items() if p not in own},
          'every user gets the same bytes')
wrong_places(world)
print('the tools of a bureau work')
