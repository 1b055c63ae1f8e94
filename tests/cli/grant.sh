#!/bin/bash
# SPDX-License-Identifier: MIT
# Grants and bundles, from the force's side.
. "$(dirname "$0")/lib.sh"

force 12 --protected 25 --incomplete 20 --signatures 30
station s1
k 0 record list --json --fields rank,protect,name_on_card --key alice.key V
covert=$(value '[r["ref"] for r in d if r["protect"] not in ("", "STANDARD")][0]')
open_refs=$(value '"\n".join(r["ref"] for r in d if r["protect"] in ("", "STANDARD") and r["rank"] and r["name_on_card"])')
echo "$open_refs" >refs

issue=(grant issue --to s1.enrol --purpose "new cards" --key alice.key)
all=(--profile card-print --records all --until +1h --release offline --allow-incomplete)

# ------------------------------------------------------------------------------------------------------------ wrong usage, 2
k 2 "${issue[@]}" --job j "${all[@]}" V # no output
has err "--output"
k 2 "${issue[@]}" --job j --records all --until +1h --release offline -o x V # no fields
k 2 "${issue[@]}" --job j --profile card-print --fields rank --records all --until +1h --release offline -o x V
k 2 "${issue[@]}" --job j --profile passport --records all --until +1h --release offline -o x V
k 2 "${issue[@]}" --job j --profile card-print --until +1h --release offline -o x V # no records
k 2 "${issue[@]}" --job j --profile card-print --records all --list refs --until +1h --release offline -o x V
k 2 "${issue[@]}" --job j --profile card-print --records some --until +1h --release offline -o x V
k 2 "${issue[@]}" --job j --profile card-print --records all --until tomorrow --release offline -o x V
k 2 "${issue[@]}" --job j --profile card-print --records all --until +1h --release later -o x V
k 2 "${issue[@]}" --job j "${all[@]}" --budget 0 -o x V
k 2 "${issue[@]}" --job j "${all[@]}" --budget many -o x V
k 2 "${issue[@]}" --job j "${all[@]}" --from soon -o x V

# ----------------------------------------------------------------------------------------------------------------- failed, 1
k 1 "${issue[@]}" --job "No Job" "${all[@]}" -o x V
k 1 grant issue --to s1.enrol --purpose "" --key alice.key --job j "${all[@]}" -o x V
k 1 "${issue[@]}" --job j --fields rank,nonsense --records all --until +1h --release offline -o x V
has err nonsense
k 1 grant issue --to nowhere.enrol --purpose p --key alice.key --job j "${all[@]}" -o x V
k 3 grant issue --to alice.key.pub --purpose p --key alice.key --job j "${all[@]}" -o x V
has err "it looks like an identity"
k 3 grant issue --to s1.enrol --purpose p --key alice.key.pub --job j "${all[@]}" -o x V
has err "secret"
k 1 "${issue[@]}" --job j "${all[@]}" -o nowhere/x V # no grant is made whose file could not be written
has err nowhere/x
k 0 grant list V
hasnt out " j "
k 1 "${issue[@]}" --job j --fields rank --where name_on_card=Nobody --until +1h --release offline -o x V
has err "no record"
k 1 "${issue[@]}" --job j --fields rank --records all --until 2001-01-01T00:00:00Z --release offline -o x V
k 1 "${issue[@]}" --job j "${all[@]}" --from +2h -o x V # ends before it starts
k 4 "${issue[@]}" --job j --profile card-print --records all --until +1h --release online --allow-incomplete -o x V
has err "names no desk"
touch taken
k 1 "${issue[@]}" --job j "${all[@]}" -o taken V
has err "--force"

# ---------------------------------------------------------------------------------------------------------------- refused, 4
for field in vetting pay_no protect notify_to; do
    k 4 "${issue[@]}" --job j --fields "rank,$field" --records all --until +1h --release offline -o x V
    has err "$field"
done
k 4 "${issue[@]}" --job j --fields rank --where vetting=SC --until +1h --release offline -o x V
k 4 "${issue[@]}" --job j --profile card-print --records all --until +1h --release offline -o x V
has err "--allow-incomplete"
has out "missing"
echo "$covert" >covert
k 4 "${issue[@]}" --job j --fields rank --list covert --until +1h --release offline -o x V
has err "$covert"
k 4 "${issue[@]}" --job j --fields rank --records all --until +60d --release offline -o x V
has err "31 days"
absent x
k 0 grant list V
has err "No grant"

# ------------------------------------------------------------------------------------------------------------------- issued
k 0 "${issue[@]}" --job cards "${all[@]}" --check V
has out "Would grant" "left out   3 protected" "to send"
words=$(sed -n 's/^device     //p' out)
k 0 "${issue[@]}" --job cards "${all[@]}" -o cards.grant V
has out "records    9" "device     $words" "expiry enforced by software, not by cryptography" "missing"
has err "all its signatures" "bundle export"
k 0 device list V
has out s1 "$words" never
k 0 grant list V
has out cards s1 live "1 of 1"
k 0 grant list --json V
json 'len(d), d[0]["state"], d[0]["records"], d[0]["exported"]' "(1, 'live', 9, False)"
id=$(value 'd[0]["id"]')
k 4 "${issue[@]}" --job cards "${all[@]}" -o x V # the name is in use there
has err "$id"
k 0 "${issue[@]}" --job covert --fields rank --list covert --include-protected --until +1h --release offline --json -o covert.grant V
json 'd["records"], d["protected"], d["fields"]' "(1, 1, ['rank'])"
k 0 "${issue[@]}" --job ranks --fields name_on_card,surname --list refs --from +10m --until +1h --budget 2 --release offline -o ranks.grant V
has out "budget     2 different records" surname
k 0 grant list --json V
json 'sorted(g["state"] for g in d)' "['live', 'live', 'not-yet']"

# ------------------------------------------------------------------------------------------------------------- show, verify
k 0 grant show cards.grant
has out "$id" cards s1 "new cards" "signed by  alice (not checked)" "within its time"
k 0 grant show --policy force.policy cards.grant
has out "signatures 1 of 1 needed: good"
k 0 grant show --json cards.grant
json 'd["id"], d["signed_by"], d["signatures_checked"]' "('$id', ['alice'], False)"
k 0 grant verify cards.grant
has out "Signatures were NOT checked"
k 0 grant verify --policy force.policy cards.grant
has out "good"
k 4 grant verify --policy force.policy ranks.grant # not yet
k 0 grant show ranks.grant
size=$(stat -c %s cards.grant)
for at in 20 100 $((size / 2)) -1; do
    cp cards.grant bad.grant
    flip bad.grant "$at"
    k 3 grant verify --policy force.policy bad.grant
done
for bytes in 0 8 100 $((size / 2)) $((size - 1)); do
    cut cards.grant "$bytes"
    k 3 grant verify cards.grant.cut
done
k 3 grant show force.policy
k 1 grant show nowhere
identities mallory
k 0 vault create --force-name "Other Police" --admin mallory.key.pub --threshold 1 --key mallory.key W
k 0 policy export -o other.policy W
k 4 grant verify --policy other.policy cards.grant # another force
later 7200
k 4 grant verify --policy force.policy cards.grant
has err "ended"
k 0 grant list V
has out ended
K=$KEYTOOL

# ------------------------------------------------------------------------------------------------------------------- review
k 0 grant review --key bob.key -o review.html cards.grant V
mode_is 600 review.html
has review.html "<html" "data:image/jpeg;base64"
hasnt review.html "http://" "https://" "<script"
k 1 grant review --key bob.key -o review.html cards.grant V
k 0 grant review --force --key bob.key -o review.html cards.grant V
k 3 grant review --key bob.key -o r2.html bad.grant V
absent r2.html

# ------------------------------------------------------------------------------------------------------------------ bundles
export=(bundle export --key alice.key)
k 0 "${export[@]}" --grant cards.grant -o cards.bundle V
k 0 bundle verify --grant cards.grant cards.bundle
k 0 bundle show cards.bundle
has out "photo" "of 9 records"
hasnt out vetting "$covert"
k 0 bundle show --json cards.bundle
json 'd["records"], len(d["refs"]), "vetting" in d["fields"], d["fields"]["rank"]["values"]' "(9, 9, False, 9)"
k 0 "${export[@]}" --grant ranks.grant -o ranks.bundle V
has out "were sent to s1 before"
k 0 "${export[@]}" --all --json --grant ranks.grant -o ranks-all.bundle V
json 'd["already_sent"] == 0 and d["values"] > 0' True
k 3 bundle verify --grant covert.grant cards.bundle # not what it names
k 1 "${export[@]}" --grant cards.grant -o cards.bundle V
has err "--force"
size=$(stat -c %s cards.bundle)
for at in 3 25 40 -50; do
    cp cards.bundle bad.bundle
    flip bad.bundle "$at"
    k 3 bundle verify --grant cards.grant bad.bundle
done
for bytes in 0 20 100 $((size - 1)); do
    cut cards.bundle "$bytes"
    k 3 bundle show cards.bundle.cut
    k 3 bundle verify --grant cards.grant cards.bundle.cut
done
k 3 "${export[@]}" --grant bad.grant -o x V
absent x

# ------------------------------------------------------------------------------------------------------------ renew, revoke
renew=(grant renew --key alice.key)
k 2 "${renew[@]}" --until +2h -o x nonsense V
k 2 "${renew[@]}" --until never -o x "$id" V
k 1 "${renew[@]}" --until +2h -o x AAAAAAAAAAAAAAAA V
k 4 "${renew[@]}" --until +2h -o x "$id" V # no log from the device
has err "--no-handin"
k 0 "${renew[@]}" --until +2h --no-handin -o renewed.grant "$id" V
has out "renews     $id" cards
has err "no values have to be sent again"
k 0 grant verify --policy force.policy renewed.grant
k 4 "${renew[@]}" --until +60d --no-handin -o x "$id" V
k 0 grant show --json renewed.grant
next=$(value 'd["id"]')

k 2 grant revoke --reason r --key alice.key -o x nonsense V
k 1 grant revoke --reason r --key alice.key -o x AAAAAAAAAAAAAAAA V
k 0 grant revoke --reason "sent by mistake" --key bob.key -o "$id.revoked" "$id" V
has err "NOT revoked: grant $next" "the same values until"
has "$id.revoked" "sent by mistake"
k 4 "${renew[@]}" --until +2h --no-handin -o x "$id" V
k 0 grant list --json V
json '[g["state"] for g in d if g["id"] == "'"$id"'"]' "['revoked']"
k 4 "${export[@]}" --grant cards.grant -o x V
has err revoked
k 1 grant revoke --reason r --key mallory.key -o x "$next" V

# ------------------------------------------------------------------------------------------------------------------ devices
k 1 device revoke --reason lost --key alice.key -o x nobody V
k 0 device revoke --reason lost --key alice.key -o s1.revoked s1 V
k 0 device list --json V
json 'd[0]["name"], d[0]["revoked"]' "('s1', True)"
k 4 "${issue[@]}" --job again "${all[@]}" -o x V
has err revoked
k 4 "${renew[@]}" --until +2h --no-handin -o x "$next" V
k 0 grant list V
hasnt out live
k 0 audit verify --vault V V/log
exit 0
