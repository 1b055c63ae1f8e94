#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A key desk under load: stations in parallel, over HTTP on loopback, each asking for one record after the other. Run by hand, on a quiet machine:

    ninja -C build && tests/bench/desk.py build [--stations 50] [--records 100] [--part image|text] [--json FILE]

Each release is durable in the desk's log before its share goes out, and the station's log on the desk's disk. Prints releases a second, p50 and p99 of one release as the station sees it, the server's memory, and the
disk's own flush time beside them. The stations run on the same cores as the desk.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument('build')
parser.add_argument('--stations', type=int, default=50)
parser.add_argument('--records', type=int, default=100)
parser.add_argument('--part', default='image', choices=['image', 'text'])
parser.add_argument('--json')
args = parser.parse_args()
build = pathlib.Path(args.build).resolve()
os.environ.update(KEYTOOL=str(build / 'keytool/keytool'), VAULTFS=str(build / 'vaultfs/vaultfs'), SYNTH=str(build / 'tests/synth/vaultfs-synth'))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'mounted'))
from desk import DeskWorld  # noqa: E402


def flush_ms(folder):
    fd = os.open(folder / 'flush', os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    began = time.perf_counter()
    for _ in range(200):
        os.write(fd, b'x' * 400)
        os.fdatasync(fd)
    os.close(fd)
    return (time.perf_counter() - began) * 1000 / 200


def cpu_s(pid):
    fields = open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()
    return [int(f) / os.sysconf('SC_CLK_TCK') for f in fields[11:13]]


d = DeskWorld(http=True, records=args.records, prekeys=args.stations + 10)
stations = []
for i in range(args.stations):
    station, enrol = d.station(f's{i}')
    d.deliver(station, enrol, job=f'j{i}', release='online', extra=('--allow-incomplete',))
    stations.append(station)
d.serve()
print(f'{args.stations} stations, {args.records} records each; one flush {flush_ms(d.dir):.3f} ms', flush=True)
cpu = cpu_s(d.server.pid)
p = subprocess.run([build / 'tests/support/desk-load', args.part, str(args.records), *stations], stdout=subprocess.PIPE, text=True, check=True)
out = json.loads(p.stdout)
status = dict(line.split(':\t', 1) for line in open(f'/proc/{d.server.pid}/status').read().splitlines() if ':\t' in line)
out['rss_mb'] = int(status['VmHWM'].split()[0]) / 1024
out['threads'] = int(status['Threads'])
out['desk_user_ms'], out['desk_system_ms'] = ((now - was) * 1000 / out['releases'] for now, was in zip(cpu_s(d.server.pid), cpu))
out['releases_per_second'] = out['releases'] / out['seconds']
entries = sum(line.count('"event":"release"') for f in (d.store / 'log').glob('entries-*.jsonl') for line in open(f))
d.stop()
print(f'{out["releases"]} releases in {out["seconds"]:.2f} s: {out["releases_per_second"]:.0f} a second; p50 {out["p50_ms"]:.1f} ms, p99 {out["p99_ms"]:.1f} ms, '
      f'max {out["max_ms"]:.1f} ms; {out["failures"]} failures; server: {out["rss_mb"]:.0f} MB at most, {out["threads"]} threads, {out["desk_user_ms"]:.2f} ms of processor time a release and {out["desk_system_ms"]:.2f} in the kernel; {entries} entries of releases')
if args.json:
    pathlib.Path(args.json).write_text(json.dumps(out, indent=1))
sys.exit(1 if out['failures'] or entries < out['releases'] else 0)
