# SPDX-License-Identifier: MIT
"""kill -9 of keytool at random points of import, set, erase, issue, export, receive: the state is the one before or the one after, the log
verifies, and the same command then goes through. Usage: test_killtool.py KILLS_PER_COMMAND"""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

from world import World, check

KILLS = int(sys.argv[1])
rng = random.Random(int(os.environ.get('VAULTFS_TEST_SEED', '7')))
KEYTOOL = os.environ['KEYTOOL']


def vault_state(world, vault):
    world.keytool('vault', 'check', '--key', world.key('alice'), vault)
    world.keytool('audit', 'verify', '--vault', vault, vault / 'log')
    status = json.loads(world.keytool('vault', 'status', '--json', vault).stdout)
    grants = json.loads(world.keytool('grant', 'list', '--json', vault).stdout)
    rows = json.loads(world.keytool('record', 'list', '--json', '--fields', 'name_on_card,rank,status', '--key', world.key('alice'),
                                    vault).stdout)
    return json.dumps([status['records'], len(grants), sorted(json.dumps(r, sort_keys=True) for r in rows)])


def station_state(world, station):
    world.keytool('station', 'check', station)
    world.keytool('audit', 'verify', station / 'log')
    status = json.loads(world.keytool('station', 'status', '--json', station).stdout)
    return json.dumps([(g['id'], g['values_present']) for g in sorted(status['grants'], key=lambda g: g['id'])])


def drill(world, name, folder, command, state, outputs=(), again=0):
    """Kill `command` at random instants, each time on a fresh copy of `folder`; `command` and `state` take the copy's path."""
    work = world.dir / 'work'

    def fresh():
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(folder, work)
        for o in outputs:
            o.unlink(missing_ok=True)

    fresh()
    before = state(work)
    started = time.time()
    world.run(*command(work))
    took = time.time() - started
    after = state(work)
    check(before != after or outputs, f'{name} changes something')
    seen = {'before': 0, 'after': 0}
    for i in range(KILLS):
        fresh()
        p = subprocess.Popen([str(a) for a in command(work)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(took * rng.random() * 1.1)
        p.send_signal(signal.SIGKILL)
        p.wait()
        now = state(work)
        if before != after:
            # Refs of new records are random: what counts is which of the two it looks like.
            is_after = json.loads(now)[0] == json.loads(after)[0] and json.loads(now)[0] != json.loads(before)[0] or now == after
            check(now == before or is_after, f'{name}, kill {i}: neither before nor after')
            seen['after' if is_after else 'before'] += 1
        for o in outputs:
            if o.exists():
                check(o.stat().st_size == sizes.setdefault(o, o.stat().st_size), f'{name}: {o.name} is whole or not there')
        for o in outputs:
            o.unlink(missing_ok=True)
        # What is done is not done twice: the record is gone; a grant whose file was lost is revoked, or the job called otherwise.
        world.run(*command(work), expect=0 if now == before else again)
    print(f'{name}: {KILLS} kills, {seen["before"]} before, {seen["after"]} after')


sizes = {}
world = World(records=60)
key = world.key('alice')
station, enrol = world.station()
grant = world.grant(enrol)
bundle = world.bundle(grant)
world.run(os.environ['SYNTH'], '--out', world.dir / 'more', '--records', 40, '--seed', 99)

drill(world, 'import', world.vault,
      lambda v: [KEYTOOL, 'record', 'import', '--csv', world.dir / 'more/force.csv', '--map', world.dir / 'more/force.map', '--photos',
                 world.dir / 'more/photos', '--key', key, v], lambda v: vault_state(world, v))
ref = world.truth[3]['ref']
drill(world, 'erase', world.vault,
      lambda v: [KEYTOOL, 'record', 'erase', '--ref', ref, '--reason-code', 'leaver', '--yes', '--key', key, v],
      lambda v: vault_state(world, v), again=1)
drill(world, 'set', world.vault, lambda v: [KEYTOOL, 'record', 'set', '--ref', world.truth[4]['ref'], 'name_on_card=Somebody Else',
                                            '--key', key, v], lambda v: vault_state(world, v))
out = world.dir / 'killed.grant'
drill(world, 'issue', world.vault,
      lambda v: [KEYTOOL, 'grant', 'issue', '--to', enrol, '--job', 'killed', '--profile', 'card-print', '--records', 'all', '--until', '+1h',
                 '--purpose', 'drill', '--release', 'offline', '--force', '--key', key, '-o', out, v], lambda v: vault_state(world, v),
      outputs=[out], again=4)
out_bundle = world.dir / 'killed.bundle'
drill(world, 'export', world.vault,
      lambda v: [KEYTOOL, 'bundle', 'export', '--grant', grant, '--all', '--force', '--key', key, '-o', out_bundle, v],
      lambda v: vault_state(world, v), outputs=[out_bundle])
# Grant and bundle are two files, each of which counts whole or not at all.
world.receive(station, grant)
drill(world, 'receive', station, lambda s: [KEYTOOL, 'station', 'receive', s, bundle], lambda s: station_state(world, s))
print('before or after, never between')
