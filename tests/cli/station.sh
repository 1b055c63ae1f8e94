#!/bin/bash
# SPDX-License-Identifier: MIT
# The supplier's side without a mount: made, received into, looked at, handed in.
. "$(dirname "$0")/lib.sh"

force 6
k 0 policy export -o force.policy V

# ------------------------------------------------------------------------------------------------------------------- create
create=(station create --policy force.policy --no-passphrase)
k 2 "${create[@]}" --name "Bureau 1" -o s1.enrol s1
k 0 "${create[@]}" --name s1 -o s1.enrol s1
has out "station    s1, for Testshire Police" "device     " "policy     "
has err "telephone" "no passphrase"
mode_is 700 s1
mode_is 644 s1.enrol
k 0 policy show force.policy
words=$(sed -n 's/^fingerprint  //p' out)
k 0 "${create[@]}" --name s2 --json -o s2.enrol s2/
json 'd["policy"], d["policy_version"], d["name"]' "('$words', 1, 's2')"
device=$(value 'd["device"]')
k 1 "${create[@]}" --name s1 -o s3.enrol s1
absent s3.enrol
k 1 "${create[@]}" --name s3 -o s1.enrol s3
has err "--force"
absent s3
k 1 "${create[@]}" --name s3 -o nowhere/s3.enrol s3
has err "nowhere/s3.enrol" # nothing is made whose enrolment could not be written
absent s3
k 1 station create --name s3 --policy nowhere --no-passphrase -o s3.enrol s3
k 3 station create --name s3 --policy alice.key.pub --no-passphrase -o s3.enrol s3
cp force.policy bad.policy
flip bad.policy 300
k 3 station create --name s3 --policy bad.policy --no-passphrase -o s3.enrol s3
k 0 vault create --force-name F --admin alice.key.pub --admin bob.key.pub --threshold 2 --key alice.key two
k 0 policy export -o two.policy two
k 4 station create --name s3 --policy two.policy --no-passphrase -o s3.enrol s3
k 1 station create --name s3 --policy force.policy -o s3.enrol s3 # no passphrase to be had
absent s3
absent s3.enrol

# --------------------------------------------------------------------------------------------------------------- passphrase
printf 'one\n' >one
printf 'two\n' >two.pass
k 0 station create --name s3 --policy force.policy --passphrase-file one -o s3.enrol s3
hasnt err "no passphrase"
k 1 station passphrase --passphrase-file two.pass --no-passphrase s3
k 0 station passphrase --passphrase-file one --new-passphrase-file two.pass s3
k 1 station passphrase --passphrase-file one --no-passphrase s3
mkdir credentials
cp two.pass credentials/s3.passphrase
export CREDENTIALS_DIRECTORY=$work/credentials
cp s3/identity before.identity
k 1 station passphrase s3 # the credentials' one is the old one
has err "a new passphrase is needed" "--new-passphrase-file"
same s3/identity before.identity
k 0 station passphrase --new-passphrase-file one s3
unset CREDENTIALS_DIRECTORY
k 0 station passphrase --passphrase-file one --new-passphrase-file two.pass s3
k 0 station passphrase --passphrase-file two.pass --no-passphrase s3
has err removed
k 1 station passphrase --no-passphrase nowhere
k 0 station receive s3 force.policy

# ------------------------------------------------------------------------------------------------------------------ receive
grant cards s1
k 0 station receive s1 cards.bundle cards.grant # in any order
has out "cards.grant: grant" "for job cards: 6 records" "cards.bundle: delivery: 54 values"
k 0 station receive s1 cards.grant cards.bundle force.policy
[ "$(grep -c "here already" out)" -eq 3 ] || fail "not all were here already"
k 0 station receive --json s1 cards.bundle
json '[(f["file"], f["kind"], f["taken"], f["already"]) for f in d]' "[('cards.bundle', 'a bundle', True, True)]"
k 4 station receive s2 cards.grant
has err s1
k 0 station receive s2 cards.bundle # nothing in it is for s2
has out "no live grant here names any"
echo junk >junk
k 3 station receive s1 junk
has err "junk:"
k 1 station receive s1 nowhere
k 1 station receive s1 s1.enrol
k 1 station receive nowhere cards.grant
k 1 station receive V cards.grant
k 3 station receive s1 junk junk
has err "none of the 2 files"
k 5 station receive s1 junk cards.grant nowhere
has err "2 of 3 files" "junk:" "nowhere:"
has out "cards.grant:"
k 5 station receive --json s1 junk cards.grant nowhere
json 'sorted((f["file"], f["taken"]) for f in d)' "[('cards.grant', True), ('junk', False), ('nowhere', False)]"
many=()
for i in $(seq 40); do
    cp force.policy "p$i"
    many+=("p$i")
done
k 0 station receive -q s1 "${many[@]}"
[ "$(wc -l <out)" -eq 40 ] || fail "$(wc -l <out) lines for 40 files"
k 2 station receive s1

size=$(stat -c %s cards.bundle)
cut cards.bundle $((size - 1))
k 3 station receive s1 cards.bundle.cut
cp cards.bundle bad.bundle
flip bad.bundle -9000
grant other s1 --fields photo
k 0 station receive s1 other.grant
k 3 station receive s1 bad.bundle
has err "bad.bundle"
cp cards.grant bad.grant
flip bad.grant 700
k 3 station receive s1 bad.grant

# Another force's.
mkdir there
(
    cd there || exit 1
    identities alice
    k 0 vault create --force-name "Other Police" --admin alice.key.pub --threshold 1 --key alice.key V
    printf 'warrant_no,name_on_card,rank\n1,A B,Constable\n' >one.csv
    k 0 record import --csv one.csv --key alice.key V
    station o
    k 0 grant issue --to o.enrol --job o --fields rank --records all --until +1h --purpose p --release offline --key alice.key -o o.grant V
    k 4 grant issue --to ../s1.enrol --job o --fields rank --records all --until +1h --purpose p --release offline --key alice.key -o x V
    has err "another force"
) || exit 1
k 4 station receive s1 there/o.grant
k 3 station receive s1 there/force.policy

# ------------------------------------------------------------------------------------------------------------------- status
k 0 station status s1
has out "station    s1, for Testshire Police" "mounted    no" "cards" "live" "54 of 54"
k 0 station status --json s1
json 'sorted((g["job"], g["state"]) for g in d["grants"])' "[('cards', 'live'), ('other', 'live')]"
json 'd["values"], d["mounted"], d["log"]["received"], d["policy_version"]' "(54, None, 0, 1)"
k 0 station status s2
has out "no grants"
k 0 station status --json s2
json 'd["device"]' "$device"
k 1 station status nowhere

# -------------------------------------------------------------------------------------------------------------------- check
k 0 station check s1
has out "whole and genuine"
k 0 station check --json s1
json 'd["count"]' 0
cp -a s1 damaged
/usr/bin/python3 - <<'PY'
data = bytearray(open('damaged/db/data.mdb', 'rb').read())
sealed = open('cards.bundle', 'rb').read()[-4000:-3900] # of a photo
at = data.find(sealed)
assert at > 0
data[at] ^= 1
open('damaged/db/data.mdb', 'wb').write(data)
PY
k 3 station check damaged
has out "a stored value is damaged"
k 0 station receive damaged cards.bundle # mends it
k 0 station check damaged
/usr/bin/python3 - <<'PY'
data = bytearray(open('damaged/db/data.mdb', 'rb').read())
for at in range(8192, len(data), 512):
    data[at + 20] ^= 0x40
open('damaged/db/data.mdb', 'wb').write(data)
PY
k 3 station check damaged
k 3 station receive damaged cards.grant
k 3 station status damaged

# ------------------------------------------------------------------------------------------------------------------ hand in
k 0 station handin -o s1.log s1
mode_is 600 s1.log # it names people, programs and hosts
has out "s1.log:"
k 1 station handin -o s1.log s1
has err "--force"
k 0 station handin --force --json -o s1.log s1
entries=$(value 'd["entries"]')
k 0 device handin --key alice.key -o s1.receipt s1.log V
has out "log of s1: $entries entries" "genuine and whole"
k 0 device handin --json --key alice.key s1.log V
json 'd["device"], d["entries"], d["receipt"]' "('s1', $entries, None)"
k 0 device list --json V
json 'd[0]["handed_in_entries"]' "$entries"
k 0 station receive s1 s1.receipt
has out "up to entry $entries"
k 0 station status --json s1
json 'd["log"]["received"]' "$entries"
k 4 station receive s2 s1.receipt
has err "another station"
k 3 device handin --key alice.key junk V
cp s1.log bad.log
flip bad.log -200
k 3 device handin --key alice.key bad.log V
cut s1.log 900
k 3 device handin --key alice.key s1.log.cut V
k 0 station handin -o s2.log s2
k 1 device handin --key alice.key s2.log V # nothing was ever issued to s2
has err "no device"

# With the log here a grant is renewed; not any more when it is over a week old.
k 0 grant show --json cards.grant
id=$(value 'd["id"]')
k 0 grant renew --until +2h --key alice.key -o renewed.grant "$id" V
k 0 station receive s1 renewed.grant
k 0 station status s1
has out renewed live
later 700000
k 4 grant renew --until +2h --key alice.key -o x "$id" V
has err "over 7 days ago"
k 4 station receive s1 renewed.grant # ended
k 0 station status s1
hasnt out live
K=$KEYTOOL

# --------------------------------------------------------------------------------------------------------------- revocation
k 0 grant show --json renewed.grant
next=$(value 'd["id"]')
k 0 grant revoke --reason r --key alice.key -o r1.revoked "$id" V
k 0 grant revoke --reason r --key alice.key -o r2.revoked "$next" V
k 4 station receive s3 there/o.grant
k 0 station receive s1 r1.revoked r2.revoked
k 0 station receive s1 r1.revoked
has out "known already"
k 4 station receive s1 renewed.grant
k 0 station status --json s1
json 'd["values"]' 6 # the photos, for the other job
k 0 device revoke --reason lost --key alice.key -o s1.revoked s1 V
k 4 station receive s2 s1.revoked
k 0 station receive s1 s1.revoked
k 0 station status --json s1
json 'd["values"], sorted(set(g["state"] for g in d["grants"]))' "(0, ['revoked'])"
cp r1.revoked bad.revoked
flip bad.revoked 120
k 3 station receive s1 bad.revoked
k 0 audit verify --enrol s1.enrol s1/log
exit 0
