#!/bin/bash
# SPDX-License-Identifier: MIT
# audit report: the page and the document, from logs alone and with the vault; what is noticed; copies, damage, what cannot be read.
. "$(dirname "$0")/lib.sh"

force 12
station s1
station s2
station s3
grant cards s1
grant other s2 --fields rank,name_on_card
k 0 station receive s1 cards.grant cards.bundle
k 0 station receive s2 other.grant other.bundle
k 0 grant show --json cards.grant
id=$(value 'd["id"]')
k 0 grant show --json other.grant
other=$(value 'd["id"]')
k 0 record list --json --key alice.key V
mapfile -t refs < <(/usr/bin/python3 -c 'import json; print("\n".join(sorted(r["ref"] for r in json.load(open("out")))))')
manifest=$(grep -m 1 -ao "\"grant\":\"$id\".*\"manifest\":\"[0-9a-f]*" V/log/entries-*.jsonl | tail -c 65)
[ ${#refs[@]} -eq 12 ] && [ ${#manifest} -eq 64 ] || fail "the world is not as expected"

# line SECONDS EVENT GRANT REFS PART FIELDS UID PROGRAM COUNT RESULT: of job cards, so many seconds from now.
now=$(date +%s)
line() { printf '%s000000\t%s\t%s\tcards\ts1\t%s\t%s\t%s\t%s\t77\t%b\t%s\t%s\n' $((now + $1)) "$2" "$3" "$4" "$5" "$6" "$7" "$8" "$9" "${10}"; }
written() { "$REPORT_LOG" "$1/log" "$1/seal" || fail "the log of $1 was not written"; }
{
    for i in 0 1 2; do line $((60 + i)) open "$id" "${refs[i]}" image photo 1000 /usr/bin/cardpress '' ok; done
    line 70 open "$id" "all:$manifest" text name_on_card,rank,warrant_no 1000 /usr/bin/cardpress '' ok
    line 75 open "$id" "${refs[3]}" text rank 1001 '/tmp/<b>"odd"&\x1b[m' '' ok
    line 76 repeat "$id" "${refs[3]}" text rank 1001 unknown 60 ok
    line 77 deny "$id" "${refs[3]}" text rank 1001 /usr/bin/cat '' EKEYREVOKED
} | written s1

# -------------------------------------------------------------------------------------------------------------- from a log alone
k 2 audit report
k 2 audit report --log s1/log
k 2 audit report -o report.html
k 1 audit report --log nowhere -o report.html
k 1 audit report --vault nowhere -o report.html
absent report.html
k 0 audit report --log s1/log -o report.html
mode_is 600 report.html
has err "report.html: written"
has report.html "<html lang=en-GB>" "Content-Security-Policy" "default-src 'none'" "The log of the station s1 is whole until" "was not checked" \
    "/usr/bin/cardpress" "/tmp/&lt;b&gt;&quot;odd&quot;&amp;\u001b[m" "every record of the grant" "With <code>--vault</code> this table is whole" "${refs[3]}"
hasnt report.html "<b>"
k 1 audit report --log s1/log -o report.html # never overwritten
k 0 audit report --log s1/log -o report.html --force
k 0 audit report --json --log s1/log
json 'd["good"], d["with_vault"], d["total"]["reads"], d["total"]["lists"], d["total"]["repeats"], d["total"]["refused"]' "(True, False, 5, 1, 60, 1)"
json 'd["total"]["different_records"], len(d["lists_not_told_apart"]), [u["uid"] for u in d["users"]]' "(4, 1, [1000, 1001])"
json 'd["jobs"][0]["granted_known"], d["jobs"][0]["only_in_lists"]' "(False, ['name_on_card', 'warrant_no'])"
json '[n["code"] for n in d["notices"] if n["code"] != "out-of-hours"]' "['often', 'refused', 'whole-list']"

# ------------------------------------------------------------------------------------------------------------------ with the vault
k 0 audit report --json --log s1/log --vault V
json 'd["total"]["different_records"], len(d["lists_not_told_apart"]), len(d["records"])' "(12, 0, 12)"
json '[(l["label"], l["origin_checked"]) for l in d["logs"]]' "[('station s1', True), ('vault', True)]"
json '[(j["job"], j["records"], j["different_text"], j["different_image"]) for j in d["jobs"]]' "[('cards', 12, 12, 3), ('other', 12, 0, 0)]"
json 'd["jobs"][0]["never_read"]' "['signature', 'card_type', 'card_serial', 'issue_no', 'valid_from', 'valid_to']"
json 'd["jobs"][1]["never_read"]' "['name_on_card', 'rank']"
json 'sum(n["code"] == "no-handin" for n in d["notices"]), d["devices_without_log"]' "(2, 1)"
json '[f["event"] for f in d["at_the_force"] if f["by"] == "alice"]' "['policy', 'change', 'import', 'grant', 'export', 'view']"
k 0 station handin -o s1.log s1
k 0 device handin --key alice.key -o s1.receipt s1.log V
k 0 audit report --json --vault V
json 'd["total"]["reads"], [l["label"] for l in d["logs"]]' "(5, ['vault', 'station s1'])"
k 0 audit report --json --log s1/log --log s1.log --vault V # three times the same one
json 'd["total"]["reads"], [l["counted"] for l in d["logs"]]' "(5, [True, False, True, False])"
json 'd["headline"].startswith("Both logs are whole until "), d["headline"].endswith("UTC; of them 4 copies were given, and all agree.")' "(True, True)"
k 0 audit report --vault V --log s2/log -o all.html
has all.html "Testshire Police" "At the force" "issued grants" "fields never read" "All 3 logs are whole until"
hasnt all.html "was not checked" "every record of the grant"
k 0 vault backup V backup
k 0 audit report --json --vault backup --log s1.log
json 'd["logs"][0]["origin_checked"], d["total"]["different_records"]' "(True, 12)"

# --------------------------------------------------------------------------------------- what no honest mount does, a log that is late
{
    line 7300 open "$id" "${refs[1]}" image photo 1000 /usr/bin/cardpress '' ok
    line 7301 open "$id" "${refs[2]}" text vetting 1000 /usr/bin/cardpress '' ok
    line 7302 open "$id" AAAAAAAA text rank 1000 /usr/bin/cardpress '' ok
    line 7303 open AAAAAAAAAAAAAAAA "${refs[2]}" text rank 1000 /usr/bin/cardpress '' ok
} | written s1
k 0 audit report --json --vault V --log s1/log
json 'sorted(n["code"] for n in d["notices"] if n["level"] == "serious")' "['after-end', 'not-granted', 'not-named', 'unknown-grant']"
later $((8 * 86400))
k 0 audit report --json --vault V
json 'any(n["code"] == "late-handin" for n in d["notices"])' "False" # no grant is in force
K=$KEYTOOL
k 0 record erase --key alice.key --reason-code leaver --yes --ref "${refs[11]}" V
k 0 audit report --json --vault V
json '[(f["times"], f["count"]) for f in d["at_the_force"] if f["event"] == "erase"]' "[(1, 1)]"

# --------------------------------------------------------------------------------------------------------------- damage, forged copies
cp -a s1/log bad
sed -i 's/"uid":1001/"uid":1000/' bad/entries-*.jsonl
k 3 audit report --log bad -o bad.html
has bad.html "class=\"verdict bad\"" "The log of the station s1 was damaged or changed" "may be incomplete or untrue"
k 3 audit report --json --log bad
json 'd["good"]' "False"
k 3 audit report --json --log bad --log s1.log
json '"Another copy of that log is here, whole until" in d["more"], "that is the one that this page shows" in d["more"]' "(True, True)"
json '[(l["counted"], l["good"]) for l in d["logs"]], d["logs"][0]["entries_only_here"]' "([(False, False), (True, True)], 8)" # longer than what was handed in
json '[n["level"] for n in d["notices"] if n["code"] == "other-copy"], sum(r["log_not_good"] for r in d["records"])' "(['serious'], 4)"
json '[p["reads"] for p in d["programs"] if p["program"] == "/usr/bin/cardpress"]' "[8]" # one computer, however many copies of its log
# What the page counts as read, and which records exposure says a log shows as read, with the same logs: one list.
k 3 audit report --json --vault V --log bad --log s1/log
/usr/bin/python3 -c 'import json; print("\n".join(sorted(r["ref"] for r in json.load(open("out"))["records"])))' >page.refs
k 0 audit exposure --all --vault V --log bad --log s1/log -o exposed
/usr/bin/python3 -c 'import csv; print("\n".join(sorted({r["ref"] for r in csv.DictReader(open("exposed/exposed.csv")) if "log" in r["evidence"].split("+")[0].split("-")})))' >exposed.refs
[ -s page.refs ] && cmp page.refs exposed.refs || fail "page and exposure do not agree: $(diff page.refs exposed.refs | tr '\n' ' ')"
k 3 audit report --json --log s2/log --log bad
json 'd["headline"].startswith("The log of the station s1 was damaged")' "True"
# An origin that cannot be read; a file that is no log.
cp -a s1/log odd && echo garbage >odd/origin
k 3 audit report --json --log odd
k 3 audit report --json --log alice.key # no log at all
# One that cannot be read is told; what the others say stands there all the same.
mkfifo pipe
cp -a s1/log holed && rm holed/entries-*.jsonl && mkfifo holed/entries-00000000000000000000.jsonl
cp s1.log locked && chmod 000 locked
cp -a s1/log linked && mv linked/origin . && ln -s ../origin linked/origin
for odd in pipe holed locked linked alice.key; do
    case $odd in
    locked) [ "$(id -u)" -ne 0 ] || continue ;;&
    alice.key) want=3 ;;
    *) want=5 ;;
    esac
    k $want audit report --json --log $odd --log s1.log
    json 'd["good"], d["total"]["reads"], d["logs"][0]["read"], "could not be read" in d["headline"]' "(False, 5, False, True)"
    k $want audit report --log s1.log --log $odd -o odd.html --force
    has odd.html "could not be read: " "/usr/bin/cardpress" "class=\"verdict bad\""
done
k 1 audit report --log s1.log --log nowhere -o odd.html --force
cp -a V V2
mv V/log/entries-00000000000000000000.jsonl own && ln -s "$PWD/own" V/log/entries-00000000000000000000.jsonl
k 5 audit report --json --vault V
json 'd["total"]["reads"], [l["read"] for l in d["logs"]]' "(5, [False, True])"
rm V/log/entries-00000000000000000000.jsonl && mv own V/log/entries-00000000000000000000.jsonl
for odd in V2/devices/*/log/entries-*; do rm "$odd" && mkfifo "$odd"; done
k 5 audit report --json --vault V2
json 'd["total"]["reads"], [l["read"] for l in d["logs"]]' "(0, [True, False])"
rm -rf V/devices/*/log/checkpoints
k 3 audit report --json --vault V
exit 0
