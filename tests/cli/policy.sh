#!/bin/bash
# SPDX-License-Identifier: MIT
# Who may sign, and how many must: two admins of whom both are needed, and how they change.
. "$(dirname "$0")/lib.sh"

identities alice bob carol
k 0 vault create --force-name "Testshire Police" --admin alice.key.pub --admin bob.key.pub --threshold 2 --key alice.key V
k 0 policy export -o v1.policy V
k 1 policy export -o v1.policy V
has err "--force"
k 0 policy show v1.policy
has out "Pending (1 of 2 signatures)" alice bob
hasnt out "In force"
k 4 policy verify v1.policy
has err "1 of 2"
k 0 policy show --json v1.policy
json 'sorted(d), d["pending_signatures"]' "(['pending', 'pending_signatures'], 1)"

# The same key twice is one; a stranger's is none.
k 0 policy sign --key alice.key v1.policy
k 4 policy verify v1.policy
k 4 policy sign --key carol.key v1.policy
has err "carol"
k 4 policy verify v1.policy
k 0 policy install --key alice.key v1.policy V
has err pending
k 0 policy sign --key bob.key v1.policy
has err "all its signatures"
k 0 policy verify v1.policy
k 0 policy show v1.policy
has out "In force" "version      1"
words=$(sed -n 's/^fingerprint  //p' out)
k 0 policy install --key bob.key v1.policy V
has err "in force"
k 0 policy verify --json v1.policy
json 'd["in_force"], d["pending"]' "(1, False)"

# The station prints the same words.
k 0 station create --name s --policy v1.policy --no-passphrase -o s.enrol S
has out "$words"

# ------------------------------------------------------------------------------------------------------------------ change
k 2 policy change --threshold 0 --key alice.key -o v2.policy V
k 1 policy change --remove-admin nobody --key alice.key -o v2.policy V
k 1 policy change --threshold 9 --key alice.key -o v2.policy V
k 2 policy change --key alice.key -o v2.policy V # nothing to change
k 1 policy change --add-admin alice.key.pub --key alice.key -o v2.policy V # already one
absent v2.policy
k 0 policy change --add-admin carol.key.pub --remove-admin alice --key bob.key -o v2.policy V
has err "vault rekey"
k 4 policy verify v2.policy
k 0 policy install --key bob.key v2.policy V # pending: the old one rules
k 0 vault status --json V
json 'd["policy_version"], d["pending"]' "(1, True)"
# Two of the new admins (bob, carol) have to sign, and two of the old (alice, bob).
k 0 policy show v2.policy
has out "Version 2 changes version 1" "new admin" "removed" carol
k 0 policy sign --key carol.key v2.policy
has err "Version 2 changes version 1" "new admin     carol" "removed       alice"
k 4 policy verify v2.policy
k 0 policy sign --key alice.key v2.policy
k 0 policy verify v2.policy
k 0 policy install --key bob.key v2.policy V
k 0 vault status --json V
json 'd["policy_version"], d["pending"], d["admins"]' "(2, False, ['bob', 'carol'])"
# The older one again does not take back what is in force.
"$K" policy install --key bob.key v1.policy V >out 2>err && { "$K" vault status --json V >out; json 'd["policy_version"]' 2; }

# ------------------------------------------------------------------------------------------------------- damage and forgery
for at in 30 200 -20; do
    cp v2.policy bad.policy
    flip bad.policy "$at"
    k 3 policy show bad.policy
    k 3 policy verify bad.policy
    k 3 policy sign --key bob.key bad.policy
done
size=$(stat -c %s v2.policy)
for bytes in 0 10 $((size / 2)) $((size - 1)); do
    cut v2.policy "$bytes"
    k 3 policy verify v2.policy.cut
done
# Another force's policy is not installed here.
k 0 vault create --force-name "Testshire Police" --admin bob.key.pub --threshold 1 --key bob.key W
k 0 policy export -o w.policy W
k 3 policy install --key bob.key w.policy V
k 1 policy show nowhere
k 0 audit verify --vault V V/log
exit 0
