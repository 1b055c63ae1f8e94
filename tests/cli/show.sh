#!/bin/bash
# SPDX-License-Identifier: MIT
# Reading the log: shown in words, exported for other programs, followed while it grows. (Proofs: tests/reader/proof.sh.)
. "$(dirname "$0")/lib.sh"

force 4
station s1
grant cards s1
grant ranks s1 --fields rank
k 0 station receive s1 cards.grant cards.bundle
k 0 station receive s1 ranks.grant ranks.bundle
k 0 record list --json --key alice.key V
ref=$(value 'd[1]["ref"]')
k 0 record show --ref "$ref" --key alice.key V
k 0 station handin -o s1.log s1
k 0 device handin --key alice.key -o s1.receipt s1.log V
lines=s1/log/entries-00000000000000000000.jsonl
total=$(wc -l <$lines)
seals=$(grep -c '"event":"seal"' $lines)
id=$(grep -o '"grant":"[A-Z2-7]*"' $lines | sed -n '1s/.*:"\(.*\)"/\1/p')

# --------------------------------------------------------------------------------------------------------------------- show
k 0 audit show s1/log
has out " UTC  received grant: every record of grant $id (4 records)" "for s1" "seal entries are left out" "Log of the station s1 verified: good" \
    "whose log it is was not checked"
hasnt out "sealed  " "NOT PROVEN" "[not checked]"
[ "$(grep -c ' UTC  ' out)" = $((total - seals)) ] || fail "not every entry is shown once"
[ "$(grep -c '[0-9a-f]\{32\}' out)" = 0 ] || fail "a hash is shown"
cp out folder
for log in s1.log V/devices/*/log; do # the same from a handed-in file and from the vault's copy
    k 0 audit show --vault V "$log"
    has out "Log of the station s1 verified: good"
    hasnt out "was not checked"
    same <(grep ' UTC  ' folder) <(grep ' UTC  ' out)
done
k 0 audit show --enrol s1.enrol --checkpoint s1.receipt s1/log
hasnt out "was not checked"
k 0 audit show --event seal s1/log
[ "$(grep -c ' UTC  sealed' out)" = "$seals" ] || fail "not every seal"
k 0 audit show --grant "$id" s1/log
[ "$(grep -c ' UTC  ' out)" = "$(grep -c "\"grant\":\"$id\"" $lines)" ] || fail "not the entries of the grant"
k 0 audit show --result EKEYEXPIRED s1/log
has out "0 entries shown"
k 0 audit show --since +1h s1/log
has out "0 entries shown"
k 0 audit show --since 2020-01-01T00:00:00Z --until now s1/log
[ "$(grep -c ' UTC  ' out)" = $((total - seals)) ] || fail "not every entry since 2020"
k 0 audit show --until 2020-01-01T00:00:00Z s1/log
has out "0 entries shown"
k 0 audit show -q s1/log
hasnt out "verified"
k 0 audit show --json s1.log
json 'len(d["entries"]), d["shown"], d["verdict"]["good"], all(e["sealed"] for e in d["entries"])' "($((total - seals)), $((total - seals)), True, True)"
json '[e["seq"] for e in d["entries"]] == sorted(e["seq"] for e in d["entries"])' True
k 0 audit show --json --until 2020-01-01T00:00:00Z s1.log
json 'd["entries"], d["verdict"]["good"]' "([], True)"

# One record: by its ref, and where all of a grant were meant.
k 0 audit show --vault V --ref "$ref" V/log
has out "looked at" "record $ref" ", $ref among them" "Log of the vault alice verified: good"
[ "$(grep -c ' UTC  ' out)" = "$(grep -c "\"$ref\"\|\"refs\":\"all\"" V/log/entries-*.jsonl)" ] || fail "not the entries of the record"
# A record that no list has: of the lists, which the vault knows, nothing is shown. Without the vault nobody knows.
k 0 audit show --vault V --ref AAAAAAAA V/log
hasnt out "every record"
k 0 audit show --ref AAAAAAAA V/log
has out "so AAAAAAAA if that grant has it"
k 0 audit show --no-verify --ref "$ref" V/log
has out "NOTHING WAS VERIFIED" "[not checked]"
k 0 audit show --no-verify --json --ref "$ref" V/log
json 'd["verdict"], any(e["sealed"] for e in d["entries"]), len(d["entries"]) > 1' "(None, False, True)"
k 0 audit show --no-verify s1/log
[ "$(grep -c ' UTC  ' out)" = $((total - seals)) ] || fail "not every entry by search"

# ------------------------------------------------------------------------------------------------------------- wrong, or bad
k 2 audit show --ref x s1/log
k 2 audit show --grant x s1/log
k 2 audit show --event opened s1/log
k 2 audit show --since yesterday s1/log
k 2 audit show --no-verify --follow s1/log
k 2 audit show --no-verify --enrol s1.enrol s1/log
k 2 audit show
k 1 audit show nowhere
k 1 audit show --follow s1.log
has err "does not grow"
k 3 audit show --enrol s1.enrol V/log
rm -rf bad && cp -a s1/log bad
/usr/bin/python3 - bad/entries-00000000000000000000.jsonl <<'PY'
import sys
lines = open(sys.argv[1], 'rb').read().splitlines(keepends=True)
at = max(i for i, l in enumerate(lines) if b'"refs":"all"' in l)
lines[at] = lines[at].replace(b'"count":', b'"count":1', 1)
open(sys.argv[1], 'wb').write(b''.join(lines))
PY
k 3 audit show bad
has out "[NOT PROVEN]" "FOUND entries" "NOT GOOD"
[ "$(grep -c ' UTC  ' out)" = $((total - seals)) ] || fail "not every entry of a bad log"
k 3 audit show --json bad
json 'd["verdict"]["good"], {e["sealed"] for e in d["entries"]}' "(False, {False, True})"
ref_all=$(value '[e["seq"] for e in d["entries"] if e.get("refs") == "all" and not e["sealed"]][0]')
k 3 audit show --ref "$ref" bad
has out "FOUND" "Not proven: entr" " $ref_all"
# What stands behind the end of a copy is no entry of it, however good it looks.
rm -rf bad && cp -a V/devices/*/log bad
/usr/bin/python3 - bad/entries-00000000000000000000.jsonl <<'PY'
import re, sys
lines = open(sys.argv[1], 'rb').read().splitlines(keepends=True)
more = next(l for l in lines if b'"refs":"all"' in l)
open(sys.argv[1], 'ab').write(re.sub(rb'"seq":\d+', b'"seq":%d' % len(lines), more))
PY
k 3 audit show --ref "$ref" bad
has out "Some of the lines shown are no entries of this log"
k 0 audit show bad

# ------------------------------------------------------------------------------------------------------------------- follow
"$K" audit show --follow s1/log >followed 2>followed.err &
follower=$!
grant later s1 --fields rank
k 0 station receive s1 later.grant
job=0
for ((i = 0; i < 100; i++)); do
    job=$(grep -c 'job later' followed)
    [ "$job" -ge 1 ] && break
    sleep 0.1
done
[ "$job" -ge 1 ] || fail "what was written meanwhile is not shown"
kill -INT $follower
wait $follower || fail "following did not end well"
has followed "verified: good"
[ "$(grep ' UTC  ' followed | sort | uniq -d | wc -l)" = 0 ] || fail "an entry is shown twice"
k 0 audit show s1/log
same <(grep ' UTC  ' followed) <(grep ' UTC  ' out)
k 0 station handin --force -o s1.log s1

# ------------------------------------------------------------------------------------------------------------------- export
total=$(wc -l <$lines)
k 0 audit export --vault V --format jsonl -o s1.jsonl s1.log
has err "$total entries, $total of them sealed"
mode_is 600 s1.jsonl
k 0 audit export --format csv -o s1.csv s1/log
/usr/bin/python3 - $lines s1.jsonl s1.csv <<'PY' || fail "the exports are not what the log says"
import csv, json, sys
want = [json.loads(l) for l in open(sys.argv[1], encoding='utf-8')]
got = [json.loads(l) for l in open(sys.argv[2], encoding='utf-8')]
assert got == [dict(e, sealed=True) for e in want]
raw = open(sys.argv[3], 'rb').read()
assert raw.endswith(b'\r\n') and raw.count(b'\n') == raw.count(b'\r\n') == len(want) + 1 and raw.startswith(b'"seq","time","event"')
rows = list(csv.DictReader(open(sys.argv[3], encoding='utf-8', newline='')))
assert len(rows) == len(want)
for row, e in zip(rows, want):
    assert row.pop('sealed') == 'true'
    for name, value in row.items():
        there = e.get(name, '')
        assert value == (' '.join(there) if isinstance(there, list) else str(there)), (name, value, there)
    assert not set(e) - set(row) - {'nonce', 'key'}
PY
k 1 audit export --format csv -o s1.csv s1/log
has err "exists already"
k 0 audit export --force --format csv -o s1.csv s1/log
k 2 audit export --format xml -o s1.xml s1/log
k 2 audit export -o s1.xml s1/log
k 2 audit export --format csv s1/log
k 1 audit export --format csv -o none.csv nowhere
absent none.csv
rm -rf bad && cp -a s1/log bad
sed -i '4s/"nonce":"./"nonce":"x/' bad/entries-00000000000000000000.jsonl
k 3 audit export --format jsonl -o bad.jsonl bad
has err "bad.jsonl was written all the same"
[ "$(wc -l <bad.jsonl)" = $((total - 1)) ] || fail "not every entry of a bad log"
[ "$(grep -c '"sealed":false}$' bad.jsonl)" -gt 0 ] || fail "nothing is marked"

# -------------------------------------------------------------------------------------------------------------------- proof
k 0 audit proof --enrol s1.enrol --seq 2 --checkpoint s1.receipt s1.log
has out "c2sp.org/tlog-proof@v1" "index 2" "vaultfs.log/" "— alice "
has err "The entry:" "needs nothing else"
k 0 audit proof --seq 2 -o p s1.log
has err "by the key that entry" "was not checked"
k 0 audit proof --seq 0 --json s1/log
json 'd["seq"], d["size"], d["held"], d["proof"].split("\n")[0], len(d["key"])' "(0, $total, False, 'c2sp.org/tlog-proof@v1', 64)"
k 1 audit proof --seq 2 -o p s1.log
has err "exists already"
k 1 audit proof --seq "$total" s1.log
has err "there is no entry $total"
k 1 audit proof --seq $((total - 1)) --checkpoint s1.receipt s1/log
has err "use a later one"
k 3 audit proof --seq 1 bad
has err "no proof is made from a log that is not good"
k 2 audit proof s1.log
k 2 audit proof --seq -1 s1.log
exit 0
