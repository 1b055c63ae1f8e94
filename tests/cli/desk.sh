#!/bin/bash
# SPDX-License-Identifier: MIT
# The key desk, from the command line: made, given prekeys, told things, asked; with a server beside it and without. What the server does to its clients is in
# tests/mounted/test_desk_server.py, what a mount gets of it in the tests beside that.
. "$(dirname "$0")/lib.sh"

identities alice bob
k 0 identity new --role desk --name desk --no-passphrase desk.key
printf 'one\n' >pass
k 0 identity new --role desk --name locked --passphrase-file pass locked.key
k 0 identity new --role desk --name other --no-passphrase other.key

# ------------------------------------------------------------------------------------------------------------------- create
k 2 desk create --key desk.key D
k 2 desk create --key desk.key -o p --prekeys 0 D
k 2 desk create --key desk.key -o p --prekeys 10001 D
k 2 desk create --key desk.key -o p --last-day tomorrow D
k 1 desk create --key desk.key -o p --last-day 2001-01-01 D
has err "is over already"
k 1 desk create --key alice.key -o p D
has err "identity of an admin" "identity new --role desk"
absent D
absent p
k 1 desk create --key locked.key -o p D # no passphrase to be had
k 1 desk create --key desk.key -o nowhere/p D
has err nowhere/p
absent D
k 1 desk create --key desk.key --prekeys 5 --last-day 2999-01-01 -o p D
has err "more than 400 days away"
k 0 desk create --key desk.key --prekeys 5 -o desk.prekeys D
has out "desk        desk" "fingerprint " "prekeys     desk.prekeys"
has err "vault set --prekeys desk.prekeys"
mode_is 700 D
mode_is 644 desk.prekeys
k 1 desk create --key desk.key -o q D
has err "D: "
absent q
k 1 desk create --key desk.key -o desk.prekeys E
has err "--force"
absent E
k 0 desk create -q --key locked.key --passphrase-file pass --prekeys 1 -o locked.prekeys L
[ ! -s err ] || fail "quiet is not quiet"
mkdir -p cred && cp pass cred/locked.key.passphrase

# --------------------------------------------------------------------------------------------------------- the force's side
"$SYNTH" --out force --records 6 >/dev/null
k 1 vault create --force-name F --admin alice.key.pub --threshold 1 --desk alice.key.pub --desk-url https://desk.example --key alice.key x
has err "role desk"
k 2 vault create --force-name F --admin alice.key.pub --threshold 1 --desk desk.key.pub --key alice.key x
k 0 vault create --force-name "Testshire Police" --admin alice.key.pub --admin bob.key.pub --threshold 1 --key alice.key V
k 4 vault set --prekeys desk.prekeys --key alice.key V
has err "names no desk"
k 0 policy export -o first.policy V
k 0 policy change --desk desk.key.pub --desk-url unix:/run/desk.sock --key alice.key -o next V
k 0 policy show next
has out "desk         desk                 unix:/run/desk.sock"
k 0 policy install --key alice.key next V
k 2 vault set --key alice.key V
has err "--prekeys"
k 0 vault status V
has out "desk     desk at unix:/run/desk.sock" "prekeys  none left"
k 0 vault set --prekeys desk.prekeys --key alice.key V
has out "desk.prekeys: batch 1, 5 prekeys"
k 0 vault set --prekeys desk.prekeys --key alice.key V
has out "here already"
k 4 vault set --prekeys locked.prekeys --key alice.key V
cp desk.prekeys bad.prekeys
flip bad.prekeys 300
k 3 vault set --prekeys bad.prekeys --key alice.key V
k 1 vault set --prekeys force.policy --key alice.key V
k 0 vault status --json V
json 'd["prekeys"], d["prekeys_until"] is not None' "(5, True)"
k 0 vault set --ranks force/ranks.txt --key alice.key V
k 0 record import --csv force/force.csv --map force/force.map --photos force/photos --key alice.key V
station s1
issue=(grant issue --to s1.enrol --fields rank,photo --records all --purpose p --release online --allow-incomplete --key alice.key)
k 0 "${issue[@]}" --job cards --until +1h --check V
has out "ends       the force's key desk destroys" "Would grant"
k 0 vault status --json V
json 'd["prekeys"]' 5 # --check uses none up
k 0 "${issue[@]}" --job cards --until +1h -o cards.grant V
hasnt err "offline"
has err "unix:/run/desk.sock"
k 0 vault status --json V
json 'd["prekeys"]' 4
k 0 grant show --json cards.grant
json 'd["release"], d["desk"]["url"], d["desk"]["prekey_batch"]' "('online', 'unix:/run/desk.sock', 1)"
id=$(value 'd["id"]')
k 0 grant show cards.grant
has out "ends       online: " "desk       unix:/run/desk.sock, one-time key 1/"
# An offline grant of the same values before: the warning of P3.
grant loose s1 --fields rank
k 0 "${issue[@]}" --job after --until +1h --json -o after.grant V
has err "warning: s1 had some of these values by an offline grant"
json 'd["offline_before"], d["release"]' "(True, 'online')"
after=$(value 'd["id"]')
k 0 "${issue[@]}" --job third --until +1h -q -o third.grant V
k 0 "${issue[@]}" --job fourth --until +1h -q -o fourth.grant V
k 0 "${issue[@]}" --job fifth --until +1h -q -o fifth.grant V
k 4 "${issue[@]}" --job sixth --until +1h -o x V
has err prekey
absent x

# ------------------------------------------------------------------------------------------------------------------ receive
desk=(--key desk.key)
k 2 desk receive "${desk[@]}" D
k 4 desk receive "${desk[@]}" D cards.grant
has err policy # it has none yet
k 5 desk receive "${desk[@]}" D nowhere cards.grant force.policy s1.enrol
has out "force.policy: policy version 2 of Testshire Police" "s1.enrol: device s1" "cards.grant: grant $id for job cards of s1"
has err "nowhere" "1 of 4 files"
k 0 desk receive "${desk[@]}" --json D force.policy cards.grant s1.enrol
json '[(f["file"], f["taken"], f["already"]) for f in d]' "[('force.policy', True, True), ('s1.enrol', True, True), ('cards.grant', True, True)]"
k 1 desk receive "${desk[@]}" D desk.key.pub
has err "an identity"
k 4 desk receive --key other.key D force.policy
has err "another desk"
k 1 desk receive --key alice.key D force.policy
has err "identity of an admin"
k 1 desk receive "${desk[@]}" V force.policy
k 1 desk receive "${desk[@]}" nowhere force.policy
cp after.grant bad.grant
flip bad.grant 600
k 3 desk receive "${desk[@]}" D bad.grant
k 0 desk receive "${desk[@]}" D after.grant
k 0 station handin -o s1.log s1
k 0 desk receive "${desk[@]}" D s1.log
has out "s1.log:"
cp s1.log bad.log
flip bad.log -150
k 3 desk receive "${desk[@]}" D bad.log

# ------------------------------------------------------------------------------------------------------------------- status
k 0 desk status D
has out "desk       of Testshire Police (policy version 2)" "served     no" "ready      yes" "prekeys    5 live, 0 destroyed" "$id  cards" "s1 "
k 0 desk status --json D
json 'd["prekeys"]["live"], d["served"], d["ready"], sorted(g["job"] for g in d["grants"])' "(5, False, True, ['after', 'cards'])"
json '[(x["name"], x["revoked"], x["alarm"]) for x in d["devices"]]' "[('s1', False, False)]"
json 'd["devices"][0]["log_entries"] > 0' True
k 1 desk status nowhere
k 1 desk status V

# The copy of a device's log is taken in at the office as it lies here.
k 4 grant renew --until +2h --key alice.key -o renewed.grant "$id" V
k 0 device handin --key alice.key D/devices/*/log V
has out "log of s1: " "genuine and whole"
k 1 device handin --key alice.key D/db V
k 4 grant renew --until +2h --key alice.key -o renewed.grant "$id" V # and now for want of a prekey
has err prekey

# --------------------------------------------------------------------------------------------------------------- revocation
k 0 grant revoke --reason r --key alice.key -o after.revoked "$after" V
has err "desk receive --key DESK.key STORE after.revoked" "destroys the grant's one-time key"
k 0 desk receive "${desk[@]}" D after.revoked
has out "revoked" "destroyed"
k 0 desk receive "${desk[@]}" D after.revoked # again is fine
k 0 desk receive "${desk[@]}" D after.grant
has out "it is revoked (here already)"
k 0 desk status --json D
json 'd["prekeys"]["live"], d["prekeys"]["destroyed"], [g["state"] for g in d["grants"] if g["job"] == "after"], [g["key_destroyed"] for g in d["grants"] if g["job"] == "after"]' "(4, 1, ['revoked'], [True])"
cp after.revoked bad.revoked
flip bad.revoked -20
k 3 desk receive "${desk[@]}" D bad.revoked

# ------------------------------------------------------------------------------------------------------------------ prekeys
k 2 desk prekeys "${desk[@]}" -o more D
k 2 desk prekeys --add 0 "${desk[@]}" -o more D
k 0 desk prekeys --add 3 --last-day +10d "${desk[@]}" -o more D
has out "more: 3 new prekeys"
k 1 desk prekeys --add 3 "${desk[@]}" -o more D
has err "--force"
k 0 vault set --prekeys more --key alice.key V
has out "batch 2, 3 prekeys"
k 0 desk status --json D
json 'd["prekeys"]["live"]' 7 # and none of what was refused

# ------------------------------------------------------------------------------------------------------------ answer, clock
k 2 desk answer --lease 10s "${desk[@]}" -o a s1.log D
k 2 desk answer --lease never "${desk[@]}" -o a s1.log D
k 3 desk answer "${desk[@]}" -o a s1.log D
has err "not a request"
absent a
k 1 desk answer "${desk[@]}" -o a nowhere D
k 2 desk clock "${desk[@]}" D
has err "--confirm"
k 1 desk clock --confirm --key alice.key D
k 0 desk clock --confirm "${desk[@]}" D
has err "Confirmed:"

# -------------------------------------------------------------------------------------------------------------------- serve
k 2 desk serve "${desk[@]}" D
has err "--listen"
k 2 desk serve "${desk[@]}" --listen unix:d.sock --per-address 0 D
k 1 desk serve "${desk[@]}" --listen here D
has err "is no address to listen on"
k 1 desk serve "${desk[@]}" --listen 192.0.2.77:1 D # not an address of this computer
k 2 desk serve --key locked.key --passphrase-file pass --listen unix:l.sock L
has err "--policy force.policy"
k 4 desk serve --key other.key --listen unix:d.sock D
absent D/control
k 4 desk receive "${desk[@]}" D first.policy
# An older policy than the one it has is no reason not to serve: the unit's file was forgotten.
"$K" desk serve "${desk[@]}" --policy first.policy --listen unix:d.sock D >serve.out 2>serve.err </dev/null &
server=$!
trap 'kill $server 2>/dev/null; rm -rf "$work"' EXIT
for i in $(seq 100); do grep -q event=serving serve.err && break; sleep 0.1; done
has serve.err 'event=serving on="unix:' "note: first.policy"
k 0 desk status D
has out "served     yes"
k 0 desk receive --key locked.key D third.grant # no key is opened: the server has it
has err "The running server took them up."
has out "third.grant: grant"
k 5 desk receive "${desk[@]}" D nowhere third.grant junk
k 3 desk receive "${desk[@]}" D bad.grant
k 0 desk prekeys --add 2 "${desk[@]}" -o evenmore D
k 0 vault set --prekeys evenmore --key alice.key V
has out "batch 3, 2 prekeys"
k 3 desk answer "${desk[@]}" -o a s1.log D
has err "not a request"
k 1 desk clock --confirm --key alice.key D
k 0 desk clock --confirm "${desk[@]}" D
k 1 desk serve "${desk[@]}" --listen unix:e.sock D
has err "another process serves this desk"
mkdir -p "$(printf 'x%.0s' $(seq 90))/$(printf 'y%.0s' $(seq 90))" # a control socket far below
kill "$server"
wait "$server" || fail "the server ended with $?"
trap 'rm -rf "$work"' EXIT
has serve.err event=stopping event=stopped
[ ! -s serve.out ] || fail "the server writes results"
absent D/control
absent d.sock
k 0 desk status D
has out "served     no"
k 0 audit verify D/log

# ---------------------------------------------------------------------------------------------------------- another's, later
deep=$(printf 'x%.0s' $(seq 90))/$(printf 'y%.0s' $(seq 90))
mv D "$deep/D"
k 0 desk status "$deep/D"
mv "$deep/D" D
export CREDENTIALS_DIRECTORY=$work/cred
k 4 desk receive --key locked.key L force.policy # the passphrase is the credentials'
has err "does not name this desk"
unset CREDENTIALS_DIRECTORY
later 7200
k 0 desk receive "${desk[@]}" D force.policy
k 0 desk status --json D
json '[g["state"] for g in d["grants"] if g["job"] == "cards"], [g["key_destroyed"] for g in d["grants"] if g["job"] == "cards"]' "(['ended'], [True])"
later 200000
k 0 desk receive "${desk[@]}" D s1.enrol # opened two days after its last entry, it stops to ask
k 0 desk status D
has out "ready      NO: "
k 0 desk clock --confirm "${desk[@]}" D
k 0 desk status --json D
json 'd["ready"]' True

# --------------------------------------------------------------------------------- a device, with grants that the desk never saw
json 'd["prekeys"]["live"], d["prekeys"]["destroyed"]' "(7, 3)"
k 0 device revoke --reason stolen --key alice.key -o device.revoked s1 V
[ "$(grep -c '^grant-key: [A-Z2-7]\{16\} 1/[0-4]$' device.revoked)" = 5 ] || fail "a key for each online grant"
k 0 desk receive "${desk[@]}" D device.revoked
has out "device s1 is revoked, with all its grants" "had not seen"
k 0 desk receive "${desk[@]}" D device.revoked
has out "known already"
k 0 desk status --json D
json 'd["prekeys"]["live"], d["prekeys"]["destroyed"]' "(5, 5)"
k 0 audit verify D/log
