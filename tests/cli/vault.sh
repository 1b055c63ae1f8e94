#!/bin/bash
# SPDX-License-Identifier: MIT
# The vault: made, looked at, checked, saved, put back, keys changed.
. "$(dirname "$0")/lib.sh"

identities alice bob carol
k 0 identity new --role desk --name desk --no-passphrase desk.key

# ------------------------------------------------------------------------------------------------------------------ create
create=(vault create --force-name "Testshire Police" --admin alice.key.pub --admin bob.key.pub)
for threshold in 0 3 17 x -1; do
    k 2 "${create[@]}" --threshold "$threshold" --key alice.key V
done
k 2 "${create[@]}" --threshold 1 --desk desk.key.pub --key alice.key V
has err "--desk-url"
k 1 vault create --force-name F --admin desk.key.pub --threshold 1 --key alice.key V # a desk is no admin
for bad in "" $'two\nlines' "$(printf 'x%.0s' {1..121})"; do
    k 1 vault create --force-name "$bad" --admin alice.key.pub --threshold 1 --key alice.key V
done
k 4 "${create[@]}" --threshold 1 --key carol.key V # not one of them
absent V
k 0 "${create[@]}" --threshold 1 --key alice.key V
has out "Testshire Police"
mode_is 700 V
k 1 "${create[@]}" --threshold 1 --key alice.key V
has err "V:"
k 0 "${create[@]}" --threshold 2 --desk desk.key.pub --desk-url https://desk.example --key alice.key V2
has err "policy sign" "policy install"

# ------------------------------------------------------------------------------------------------------------------ status
k 0 vault status V
has out "Testshire Police" "records  0" "alice bob"
k 0 vault status --json V
json 'd["records"], d["threshold"], d["admins"], d["in_force"]' "(0, 1, ['alice', 'bob'], True)"
k 0 vault status V2
has out "not in force yet" "1 of 2 signatures"
k 1 vault status nowhere
k 1 vault status force
mkdir empty
k 1 vault status empty

# Not in force: nothing can be done with it.
printf 'warrant_no,name_on_card,rank\n1,A B,Constable\n' >one.csv
k 4 record import --csv one.csv --key alice.key V2
has err "signature"

# --------------------------------------------------------------------------------------------------------------------- set
k 2 vault set --key alice.key V
k 0 vault set --warrant-pattern '[0-9]{6}' --max-grant 7d --key bob.key V
k 5 record import --csv one.csv --key alice.key V # no good row at all
has err "2:warrant_no:" "leading zeros"
printf 'warrant_no,name_on_card,rank\n000001,A B,Constable\n' >one.csv
k 0 record import --csv one.csv --key alice.key V
k 1 vault set --warrant-pattern '[0-9' --key bob.key V
k 2 vault set --max-grant soon --key bob.key V
k 1 vault set --ranks nowhere --key bob.key V
printf 'Constable\nKnight\n' >ranks
k 0 vault set --ranks ranks --key bob.key V
k 1 vault set --warrant-pattern 'x' --key carol.key V # no admin
has err "carol"

# ------------------------------------------------------------------------------------------------------------------- check
k 0 vault check V
has out "all good"
k 0 vault check --json --key alice.key V
json 'd["records"], d["findings"], d["with_key"]' "(1, [], True)"
cp -a V damaged
/usr/bin/python3 - <<'PY'
data = bytearray(open('damaged/db/data.mdb', 'rb').read())
for at in range(8192, len(data), 512):
    data[at + 100] ^= 0x40
open('damaged/db/data.mdb', 'wb').write(data)
PY
k 3 vault check damaged
k 3 vault check --json --key alice.key damaged
k 3 record list --key alice.key damaged

# --------------------------------------------------------------------------------------------------------- backup, restore
k 0 vault backup V saved
mode_is 600 saved
k 1 vault backup V saved
has err "--force"
k 0 vault backup --force V saved
has err "stays in it"
k 0 record set --ref "$("$K" record list --key alice.key V 2>/dev/null)" rank=Knight --key alice.key V
k 1 vault restore --key alice.key saved V
k 1 vault restore --key carol.key saved back
absent back
k 0 vault restore --key bob.key saved back
k 0 vault check --key alice.key back
k 0 record list --fields rank --key alice.key back
has out Constable
k 0 audit verify --vault back back/log
cp saved saved.bad
flip saved.bad -100
k 3 vault restore --key alice.key saved.bad back2
size=$(stat -c %s saved)
for bytes in 0 7 100 $((size / 2)) $((size - 1)); do
    cut saved "$bytes"
    k 3 vault restore --key alice.key saved.cut back2
done
absent back2
k 3 vault restore --key alice.key one.csv back2

# ------------------------------------------------------------------------------------------------------------------- rekey
k 0 policy change --remove-admin bob --key alice.key -o v2.policy V
k 0 policy install --key alice.key v2.policy V
k 1 record list --key bob.key V # no admin any more
has err "bob"
k 0 vault rekey --key alice.key -o v3.policy V
k 0 policy install --key alice.key v3.policy V
k 0 record list --fields name_on_card --key alice.key V
has out "A B"
k 0 vault check --key alice.key V
has out "all good"
k 0 audit verify --vault V V/log
k 0 vault status --json V
json 'd["policy_version"]' 3
exit 0
