#!/bin/bash
# SPDX-License-Identifier: MIT
# One of everything: what is said of it is in the singular, and the same size is the same number wherever it is told.
. "$(dirname "$0")/lib.sh"

many='(rows|records|values|entries|files|pictures|grants|devices|admins|signatures|checkpoints|gaps|recoveries|steps|findings|leavers|days)'
singular() {
    grep -nEi "(^|[^0-9.:])1 (different |more |such |whole )?$many\b" out err && fail "one of them is told as several"
    return 0
}
s() {
    k "$@"
    singular
}

identities alice
"$SYNTH" --out force --records 1 >/dev/null || fail synth
s 0 vault create --force-name "Testshire Police" --admin alice.key.pub --threshold 1 --key alice.key V
s 0 vault status V
has out "1 of 1 admin must sign"
s 0 vault set --ranks force/ranks.txt --key alice.key V
s 0 record import --check --csv force/force.csv --map force/force.map --photos force/photos --key alice.key V
has out "1 row: 1 new"
s 0 record import --csv force/force.csv --map force/force.map --photos force/photos --key alice.key V
s 0 record import --csv force/force.csv --map force/force.map --key alice.key V
s 0 record list --key alice.key V
s 0 vault check --key alice.key V
has out "1 record, "
station printer
s 0 policy show force.policy
has out "1 of 1 admin"
s 0 policy verify force.policy
s 0 grant issue --to printer.enrol --job cards --fields photo --records all --until +1h --purpose p --release offline --budget 1 --key alice.key -o cards.grant V
has out "1 different record"
s 0 grant show cards.grant
s 0 grant verify --policy force.policy cards.grant
has out "1 record;"
s 0 grant review --key alice.key -o review.html cards.grant V
has err "of 1 record."
s 0 grant list V
s 0 device list V
s 0 bundle export --grant cards.grant --key alice.key -o cards.bundle V
size=$(grep -o '[0-9.]* MB' out)
[ -n "$size" ] || fail "no size"
has out "1 value, "
s 0 bundle export --grant cards.grant --all --key alice.key -o again.bundle V
s 0 bundle verify --grant cards.grant cards.bundle
has out "1 value, each"
s 0 bundle show cards.bundle
has out "1 value of 1 record, $size of ciphertext"
s 0 station receive printer cards.grant cards.bundle
has out ": 1 record until" "delivery: 1 value ($size) taken"
s 0 station status printer
has out "values     1, $size"
s 0 station check printer
s 0 station handin -o printer.log printer
s 0 audit verify printer.log
s 0 device handin --key alice.key -o receipt printer.log V
s 0 device list V
echo junk >junk
s 5 station receive printer junk cards.grant
has err "1 of 2 files was not taken"
k 0 record list --json --key alice.key V
ref=$(value 'd[0]["ref"] if isinstance(d, list) else d["records"][0]["ref"]')
s 0 record erase --ref "$ref" --reason-code leaver --yes --key alice.key V
has out "1 record erased"
s 0 audit verify --vault V V/log
exit 0
