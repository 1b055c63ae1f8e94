#!/bin/bash
# SPDX-License-Identifier: MIT
# Two admins of whom both must sign, each with a copy of the vault of his own; and everything that must not count as two.
. "$(dirname "$0")/lib.sh"

"$SYNTH" --out force --records 6 >/dev/null || fail synth
identities alice bob carol
k 0 vault create --force-name "Testshire Police" --admin alice.key.pub --admin bob.key.pub --threshold 2 --key alice.key V
k 0 policy export -o force.policy V
k 0 policy sign --key bob.key force.policy
k 0 policy install --key bob.key force.policy V
k 0 vault set --ranks force/ranks.txt --key alice.key V
k 0 record import --csv force/force.csv --map force/force.map --photos force/photos --key alice.key V
k 0 station create --name s --policy force.policy --no-passphrase -o s.enrol S
cp -a V bobs # on another machine

issue=(grant issue --to s.enrol --profile card-print --records all --until +1h --purpose p --release offline --key alice.key)
k 0 "${issue[@]}" --job cards -o cards.grant V
has err "needs 1 more signature" bob
k 0 grant list V
has out unsigned "1 of 2"
k 4 grant verify --policy force.policy cards.grant
has err "1 of 2" bob
k 4 station receive S cards.grant
has err "1 of 2"

# The same key twice, a removed one's, a stranger's.
cp cards.grant twice.grant
k 0 grant sign --yes --key alice.key twice.grant
k 4 grant verify --policy force.policy twice.grant
k 0 grant merge -o merged.grant cards.grant twice.grant
k 4 grant verify --policy force.policy merged.grant
cp cards.grant stranger.grant
k 0 grant sign --yes --key carol.key stranger.grant # without a vault nobody knows who she is
has err "without comparing"
k 4 grant verify --policy force.policy stranger.grant
k 4 station receive S stranger.grant
k 1 grant sign --yes --key carol.key stranger.grant V # with it, somebody does
has err carol
k 1 grant sign --key bob.key cards.grant bobs # nobody to ask
has out "derived again"
has err "--yes"
k 4 grant verify --policy force.policy cards.grant

# Bob reviews and signs with his copy; Alice merges what he sends back.
cp cards.grant from-alice.grant
k 0 grant review --key bob.key -o review.html from-alice.grant bobs
k 0 grant sign --yes --key bob.key from-alice.grant bobs
has err "all its signatures (2 of 2)"
k 0 grant verify --policy force.policy from-alice.grant
k 0 grant merge -o both.grant cards.grant from-alice.grant
k 0 grant verify --policy force.policy both.grant
k 0 grant show --json --policy force.policy both.grant
json 'd["signatures"], d["threshold"], sorted(d["signed_by"])' "(2, 2, ['alice', 'bob'])"
k 0 bundle export --grant both.grant --key alice.key -o cards.bundle V
k 0 station receive S both.grant cards.bundle
k 0 station status --json S
json 'd["grants"][0]["state"], d["grants"][0]["values_present"] == d["grants"][0]["values_named"]' "('live', True)"

# What is not the same grant does not merge.
k 0 "${issue[@]}" --job other -o other.grant V
k 3 grant merge -o x both.grant other.grant
absent x

# Something else than the vault says: Bob's copy has another name by now, or the file was made by somebody else.
k 0 record list --key bob.key bobs
ref=$(head -n 1 out)
k 0 record set --ref "$ref" name_on_card="Somebody Else" --key bob.key bobs
cp other.grant changed.grant
"$K" grant sign --yes --key bob.key changed.grant bobs >out 2>err </dev/null
status=$?
ran="grant sign of what the copy says otherwise"
[ $status -eq 3 ] || [ $status -eq 4 ] || fail "exit status $status instead of 3 or 4"
has err "$ref" name_on_card
same other.grant changed.grant

# Bob leaves: his signature does not count any more.
k 0 "${issue[@]}" --job last -o last.grant V
k 0 grant sign --yes --key bob.key last.grant V
k 0 policy change --remove-admin bob --add-admin carol.key.pub --key alice.key -o v2.policy V
k 0 policy sign --key bob.key v2.policy
k 0 policy sign --key carol.key v2.policy
k 0 policy install --key alice.key v2.policy V
k 0 policy verify v2.policy
k 0 grant verify --policy force.policy last.grant
k 4 grant verify --policy v2.policy last.grant
k 5 station receive S v2.policy last.grant
has out "policy version 2"
has err "1 of 2"
k 4 station receive S last.grant
k 0 grant list V
has out unsigned
k 0 grant sign --yes --key carol.key last.grant V
k 0 grant verify --policy v2.policy last.grant
k 0 station receive S last.grant
k 4 station receive S force.policy # the older policy
# What names an erased record is listed, signed or not.
k 0 "${issue[@]}" --job late -o late.grant V
k 0 record list --json --key alice.key V
ref=$(value 'd[0]["ref"] if isinstance(d, list) else d["records"][0]["ref"]')
k 0 record erase --ref "$ref" --reason-code leaver --yes --key alice.key V
has out ", job late on s (not fully signed as far as this vault knows: 1 of 2), reads what it was issued for once it is"
exit 0
