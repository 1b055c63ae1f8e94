#!/bin/bash
# SPDX-License-Identifier: MIT
# Records: imported with good and bad rows, looked at, changed, erased.
. "$(dirname "$0")/lib.sh"

force 8 --protected 20 --incomplete 20 --signatures 30
has out "8 rows: 8 new"
import=(record import --map force/force.map --key alice.key V)
k 0 "${import[@]}" --csv force/force.csv --photos force/photos
has out "8 unchanged"
k 0 "${import[@]}" --csv force/force.csv --check --json
json 'd["rows"], d["unchanged"], d["new"], d["check"]' "(8, 8, 0, True)"

# ----------------------------------------------------------------------------------------------------------- bad rows, 5
header='warrant_no,name_on_card,rank,card_type'
printf '%s\r\n' "$header" "77700001,First Good,Constable,WARRANT" "77700002,Bad Rank,Emperor,WARRANT" \
    "77700003,Second Good,Sergeant,STAFF" "1.84E+05,Spreadsheet Damage,Constable,WARRANT" >mixed.csv
k 5 record import --csv mixed.csv --rejects rejects.csv --refs-out refs.csv --key alice.key V
has out "4 rows: 2 new" "2 bad"
has err "3:rank:" "5:warrant_no:"
hasnt err Emperor # never a value
mode_is 600 rejects.csv
mode_is 600 refs.csv
[ "$(wc -l <rejects.csv)" -eq 3 ] || fail "the rejects are not the header and two rows"
[ "$(wc -l <refs.csv)" -eq 3 ] || fail "refs.csv has not a header and two rows"
hasnt refs.csv Good
k 0 record list --where rank=Sergeant --fields name_on_card --key alice.key V
has out "Second Good"
# Mended and imported again.
sed -i 's/Emperor/Inspector/; s/1\.84E+05/77700004/' rejects.csv
k 0 record import --csv rejects.csv --key alice.key V
has out "2 rows: 2 new"
k 5 record import --csv mixed.csv --json --key alice.key V
json 'd["bad_rows"], len(d["problems"]), d["problems"][0]["row"]' "(2, 2, 3)"
k 0 record import --csv rejects.csv --json --key alice.key V
json 'd["unchanged"], d["bad_rows"]' "(2, 0)"

printf 'warrant_no,no_such_field\n1,x\n' >unknown.csv
k 1 record import --csv unknown.csv --key alice.key V
has err no_such_field
k 1 record import --csv nowhere.csv --key alice.key V
printf 'name_on_card,rank\nA,Constable\n' >no-number.csv
k 1 record import --csv no-number.csv --key alice.key V
k 2 record import --csv mixed.csv --photo-key photo --key alice.key V
k 1 record import --csv mixed.csv --key nowhere.key V
identities mallory
k 1 record import --csv mixed.csv --key mallory.key V
has err mallory

# ------------------------------------------------------------------------------------------------------------- list, show
k 0 record list --key alice.key V
[ "$(wc -l <out)" -eq 12 ] || fail "$(wc -l <out) records instead of 12"
has err "12 records"
k 0 record list --json --fields name_on_card,rank --where name_on_card="First Good" --key alice.key V
json 'len(d), d[0]["rank"]' "(1, 'Constable')"
ref=$(value 'd[0]["ref"]')
k 0 record show --ref "$ref" --key alice.key V
has out "$ref" "First Good" vetting
k 0 record show --json --warrant-no 77700001 --key bob.key V
json 'd["ref"], d["rank"]["value"], d["photo"]["bytes"]' "('$ref', 'Constable', 0)"
k 1 record show --warrant-no 11111 --key alice.key V
k 1 record show --ref AAAAAAAA --key alice.key V
k 2 record show --ref aaaa --key alice.key V
k 2 record show --key alice.key V
k 2 record show --ref "$ref" --warrant-no 1 --key alice.key V
k 2 record list --where rank --key alice.key V
k 2 record list --where photo=x --key alice.key V
k 2 record list --fields photo --key alice.key V
k 1 record list --fields nonsense --key alice.key V
printf '%s\n77700003\n' "$ref" >list
k 0 record list --list list --key alice.key V
[ "$(wc -l <out)" -eq 2 ] || fail "the list gave $(wc -l <out) records"
echo 99999 >>list
k 1 record list --list list --key alice.key V
has err "3" # the line, not what stands there
hasnt err 99999

# -------------------------------------------------------------------------------------------------------------------- set
k 0 record set --ref "$ref" rank=Sergeant endorsement="Method of entry" --key alice.key V
k 0 record show --ref "$ref" --json --key alice.key V
json 'd["rank"]["value"], d["rank"]["generation"], d["endorsement"]["value"]' "('Sergeant', 2, 'Method of entry')"
photo=$(ls force/photos/*.jpg | head -n 1)
k 0 record set --ref "$ref" "photo=@$photo" endorsement=- --key alice.key V
k 0 record show --ref "$ref" --json --key alice.key V
json 'd["photo"]["bytes"] > 1000, d["endorsement"]["value"]' "(True, '')"
k 1 record set --ref "$ref" rank=Emperor --key alice.key V
k 1 record set --ref "$ref" "photo=@mixed.csv" --key alice.key V
k 1 record set --ref "$ref" "photo=@nowhere.jpg" --key alice.key V
k 2 record set --ref "$ref" nonsense=x --key alice.key V
k 2 record set --ref "$ref" rank --key alice.key V
k 2 record set --ref bad rank=Constable --key alice.key V
k 1 record set --ref AAAAAAAA rank=Constable --key alice.key V
k 0 record show --ref "$ref" --json --key alice.key V
json 'd["rank"]["value"]' Sergeant

# ------------------------------------------------------------------------------------------------------------------ erase
k 2 record erase --ref "$ref" --reason-code bored --key alice.key V
k 2 record erase --reason-code leaver --key alice.key V
k 1 record erase --ref "$ref" --reason-code leaver --key alice.key V # nobody to ask, and no --yes
k 0 record show --ref "$ref" --key alice.key V
station s
grant job s --where rank=Sergeant --allow-incomplete
k 0 record erase --ref "$ref" --reason-code leaver --yes --key alice.key V
has out "1 record erased" ", job job on s, still reads" "grant revoke ends that"
[ "$(wc -l <out)" -eq 2 ] || fail "one grant names it"
k 1 record show --ref "$ref" --key alice.key V
printf '77700003\n77700004\n' >leavers
grant two s --list leavers --allow-incomplete
k 0 device revoke --reason stolen --key alice.key -o s.revoked s V
k 0 record erase --list leavers --reason-code court --yes --key alice.key V
has out "2 records erased" ", job two on s (revoked), still reads what it was issued for until s has received the notice"
k 1 record show --warrant-no 77700004 --key alice.key V
k 0 vault check --key alice.key V
has out "all good"
k 0 audit verify --vault V V/log
for word in "First Good" 77700001 77700003 Emperor; do
    grep -rqaF -- "$word" V && fail "\"$word\" stands in the vault"
done
exit 0
