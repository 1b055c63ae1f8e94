#!/bin/bash
# SPDX-License-Identifier: MIT
# The log: good ones, and everything that may be done to one, found.
. "$(dirname "$0")/lib.sh"

force 4
station s1
station s2
grant cards s1
for i in 1 2 3 4 5 6 7 8; do # each receipt of something new is an entry, each run of keytool a checkpoint
    grant "job$i" s1 --fields rank
    k 0 station receive s1 "job$i.grant"
done
grant theirs s2 --fields rank
k 0 station receive s2 theirs.grant theirs.bundle
k 0 station handin -o s1.log s1
k 0 device handin --key alice.key -o s1.receipt s1.log V

# --------------------------------------------------------------------------------------------------------------------- good
k 0 audit verify s1/log
has out "log          of the station s1" "NOT checked" "Good"
k 0 audit verify --enrol s1.enrol s1/log
has out "signed by its owner" "Good"
hasnt out "NOT"
k 0 audit verify --enrol s1.enrol --checkpoint s1.receipt s1.log
has out "1 checkpoint from elsewhere"
k 0 audit verify --vault V s1.log # the vault knows the device
has out "signed by its owner"
k 0 audit verify --vault V V/log
has out "log          of the vault alice" "signed by its owner"
k 0 audit verify --vault V V/devices/*/log
has out "of the station s1"
k 0 audit verify --json --enrol s1.enrol s1.log
json 'd["good"], d["kind"], d["owner"], d["origin_checked"], d["findings"], d["gaps"]' "(True, 'station', 's1', True, [], 0)"
entries=$(value 'd["entries"]')
[ "$entries" -ge 16 ] || fail "only $entries entries"

# -------------------------------------------------------------------------------------------------------- not good, or wrong
k 2 audit verify --enrol s1.enrol --vault V s1.log
k 1 audit verify nowhere
k 1 audit verify V
k 3 audit verify --enrol s2.enrol s1.log # another's
has out "FOUND" "NOT GOOD"
k 3 audit verify --enrol s2.enrol s1/log
k 0 station handin -o s2.log s2
k 3 audit verify --checkpoint s1.receipt s2.log
k 3 audit verify --checkpoint s2.enrol s1.log # no checkpoint
k 1 audit verify --checkpoint nowhere s1.log
k 1 audit verify --vault nowhere s1.log

# bad WHAT: the log in bad/ is found to be bad, with and without keys.
bad() {
    k 3 audit verify bad
    has out "FOUND" "NOT GOOD"
    k 3 audit verify --json --enrol s1.enrol bad
    json 'd["good"], len(d["findings"]) > 0' "(False, True)"
}
lines=s1/log/entries-00000000000000000000.jsonl
change() { # change WHAT PYTHON: entries is a list of lines, changed in place
    rm -rf bad
    cp -a s1/log bad
    ran="$1"
    /usr/bin/python3 - "$2" <<'PY' || fail "$1"
import sys
path = 'bad/entries-00000000000000000000.jsonl'
entries = open(path, 'rb').read().splitlines(keepends=True)
before = list(entries)
exec(sys.argv[1])
assert entries != before
open(path, 'wb').write(b''.join(entries))
PY
    bad
}
change "a byte changed" 'entries[3] = entries[3][:-20] + bytes([entries[3][-20] ^ 1]) + entries[3][-19:]'
change "a digit of a time" 'i = entries[5].index(b"time") + 20; entries[5] = entries[5][:i] + (b"1" if entries[5][i:i+1] != b"1" else b"2") + entries[5][i+1:]'
change "an entry removed" 'del entries[4]'
change "an entry doubled" 'entries.insert(4, entries[4])'
change "an entry moved" 'entries[4], entries[6] = entries[6], entries[4]'
change "an entry put in" 'entries.insert(4, entries[4].replace(b"\"seq\":4", b"\"seq\":5"))'
change "the first entry removed" 'del entries[0]'
change "a nonce" 'entries[2] = entries[2].replace(b"nonce\":\"", b"nonce\":\"0", 1)'
change "all entries gone" 'entries.clear()'

# The tail cut below what a receipt covers: entries and checkpoints, so that what is left agrees.
rm -rf bad
cp -a s1/log bad
/usr/bin/python3 - <<'PY'
import re
notes = open('bad/checkpoints').read()
parts = re.split(r'(?<=\n)\n(?=vaultfs\.log/)', notes)
keep = parts[:len(parts) // 2]
size = int(keep[-1].split('\n')[1])
open('bad/checkpoints', 'w').write('\n'.join(keep) + '\n')
path = 'bad/entries-00000000000000000000.jsonl'
lines = open(path, 'rb').read().splitlines(keepends=True)
open(path, 'wb').write(b''.join(lines[:size]))
PY
k 0 audit verify --enrol s1.enrol bad # nobody holds anything against it
k 3 audit verify --enrol s1.enrol --checkpoint s1.receipt bad
has out "FOUND"

# Two logs spliced; a checkpoint of old put back; the origin of another.
rm -rf bad && cp -a s1/log bad
cp s2/log/origin bad/origin
bad
rm -rf bad && cp -a s1/log bad
/usr/bin/python3 - <<'PY'
import re
notes = open('bad/checkpoints').read()
parts = re.split(r'(?<=\n)\n(?=vaultfs\.log/)', notes)
open('bad/checkpoints', 'w').write('\n'.join([*parts[:-1], parts[1]]) + '\n')
PY
bad
rm -rf bad && cp -a s1/log bad
cat s2/log/entries-*.jsonl >>bad/entries-00000000000000000000.jsonl
bad

# A handed-in file, every so many bytes.
size=$(stat -c %s s1.log)
for at in 2 40 300 $((size / 3)) $((size / 2)) -10; do
    cp s1.log bad.log
    flip bad.log "$at"
    "$K" audit verify --enrol s1.enrol bad.log >out 2>err
    status=$?
    ran="audit verify of a file changed at $at"
    [ $status -eq 3 ] || [ $status -eq 1 ] || fail "exit status $status"
done
for bytes in 100 $((size / 2)) $((size - 1)); do
    cut s1.log "$bytes"
    k 3 audit verify s1.log.cut
done
# The writer goes on after a look, and the log stays good.
grant after s1 --fields rank
k 0 station receive s1 after.grant
k 0 audit verify --enrol s1.enrol --checkpoint s1.receipt s1/log
exit 0
