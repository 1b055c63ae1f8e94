#!/bin/bash
# SPDX-License-Identifier: MIT
# Proofs of single entries (C2SP tlog-proof), verified with stock tools alone: bash, coreutils and openssl. proof() below and the functions of
# stock.sh that it calls are all it takes; the rest makes proofs to verify, and shows that one changed in any place fails.
set -eu -o pipefail
export LC_ALL=C.UTF-8
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export XDG_RUNTIME_DIR=$work

fail() { echo "FAILED: $*" >&2; exit 1; }

# The functions of stock.sh: hex, unhex, sha, text_of, lines_of, verify, signed, receipt, key_of, name_of, ...
source <(sed -n '/^# -* with stock tools$/,/^# -* things to verify$/p' "$here/stock.sh")

# ------------------------------------------------------------------------------------------------------------ with stock tools

# node LEFTHEX RIGHTHEX: an inner node of RFC 6962.
node() { { printf '\001'; unhex "$1$2"; } | sha; }

# proof FILE: splits it and computes: entry.json, note.txt, its lines origin, size, root; fails unless the entry is included under that root.
# Who calls it checks the signature on note.txt.
proof() {
    local line index hash path=() fn sn
    exec 3<"$1"
    IFS= read -r line <&3 && [ "$line" = c2sp.org/tlog-proof@v1 ] || return 1
    IFS= read -r line <&3 && [[ $line == 'extra '* ]] || return 1
    printf '%s' "${line#extra }" | base64 -d >entry.json || return 1
    IFS= read -r line <&3 && [[ $line =~ ^index\ (0|[1-9][0-9]{0,17})$ ]] || return 1
    index=${BASH_REMATCH[1]}
    while IFS= read -r line <&3 && [ -n "$line" ]; do
        path+=("$(printf '%s' "$line" | base64 -d | hex)")
    done
    cat <&3 >note.txt
    exec 3<&-
    text_of note.txt >note.text
    { read -r origin; read -r size; read -r root; } <note.text || return 1
    [[ $size =~ ^[1-9][0-9]{0,17}$ ]] && [ "$index" -lt "$size" ] || return 1
    # RFC 9162 section 2.1.3.2
    fn=$index sn=$((size - 1))
    hash=$({ printf '\0'; cat entry.json; } | sha)
    for line in ${path[@]+"${path[@]}"}; do
        [ ${#line} = 64 ] && [ $sn -gt 0 ] || return 1
        if [ $((fn & 1)) = 1 ] || [ $fn = $sn ]; then
            hash=$(node "$line" "$hash")
            while [ $((fn & 1)) = 0 ] && [ $fn != 0 ]; do fn=$((fn >> 1)) sn=$((sn >> 1)); done
        else
            hash=$(node "$hash" "$line")
        fi
        fn=$((fn >> 1)) sn=$((sn >> 1))
    done
    [ $sn = 0 ] && [ "$hash" = "$(printf '%s' "$root" | base64 -d | hex)" ]
}

# proven FILE KEYHEX: by the seal key that signed the checkpoint; proven_by FILE NAME KEYHEX: by who cosigned it. And the number in the entry.
proven() { proof "$1" && signed note.txt "$origin" "$2" && numbered "$1"; }
proven_by() { proof "$1" && receipt note.txt "$2" "$3" >/dev/null && numbered "$1"; }
numbered() { [[ $(<entry.json) == "{\"seq\":$(value_of index "$1"),"* ]]; }

# ------------------------------------------------------------------------------------------------------------ things to verify

k() { "$KEYTOOL" "$@" >out 2>err </dev/null || { cat out err >&2; fail "keytool $*"; }; }
"$SYNTH" --out force --records 3 --photos none >/dev/null
k identity new --role admin --name alice --no-passphrase alice.key
k vault create --force-name 'Northshire Police' --admin alice.key.pub --threshold 1 --key alice.key vault
k record import --csv force/force.csv --map force/force.map --key alice.key vault
k policy export vault -o force.policy
k station create --name printer --policy force.policy --no-passphrase -o printer.enrol station
for i in 1 2 3 4 5; do
    k grant issue --to printer.enrol --job job-$i --fields rank --records all --until +1h --purpose 'Cards' --release offline --key alice.key -o $i.grant vault
    k bundle export --grant $i.grant --key alice.key -o $i.bundle vault
    k station receive station $i.grant $i.bundle
    if [ $i = 3 ]; then
        k station handin station -o printer.log
        k device handin printer.log --key alice.key -o printer.receipt vault
    fi
done
lines=station/log/entries-00000000000000000000.jsonl
log printer.enrol station/log >/dev/null || fail "the log does not verify"

# key N: the key that signs checkpoint N, as stock.sh follows the chain: named in the last entry that the one before covers.
key() {
    local n line
    [ "$1" = 1 ] && { value_of seal station/log/origin | base64 -d | hex; return; }
    n=$(text_of checkpoint.$(($1 - 1)) | sed -n 2p)
    line=$(sed -n "${n}p" $lines)
    line=${line#*'"key":"'}
    printf '%s' "${line%%\"*}" | base64 -d | hex
}

# ------------------------------------------------------------------------------------------------------------------- the tests

# Each entry under the log's last checkpoint, and under some of those before.
split_checkpoints station/log/checkpoints
last=$checkpoints total=$(wc -l <$lines) n=0
for ((seq = 0; seq < total; seq++)); do
    k audit proof --enrol printer.enrol --seq $seq -o p station/log
    proven p "$(key "$last")" || fail "entry $seq is not proven"
    [ "$size" = "$total" ] || fail "entry $seq under $size entries"
    cmp -s entry.json <(sed -n "$((seq + 1))p" $lines | tr -d '\n') || fail "entry $seq is another"
    n=$((n + 1)); rm p
done
for cp in 1 2 $((last - 1)); do
    covers=$(text_of checkpoint.$cp | sed -n 2p)
    for seq in 0 $((covers / 2)) $((covers - 1)); do
        k audit proof --seq "$seq" --checkpoint checkpoint.$cp -o p station/log
        proven p "$(key $cp)" || fail "entry $seq under checkpoint $cp is not proven"
        [ "$size" = "$covers" ] || fail "entry $seq under $size entries instead of $covers"
        n=$((n + 1)); rm p
    done
done
# With a receipt it stands alone: the force's public key and nothing else. From a folder, a handed-in file and the vault's copy.
admin=$(<alice.key.pub)
for from in station/log printer.log vault/devices/*/log; do
    k audit proof --vault vault --seq 3 --checkpoint printer.receipt -o p "$from"
    proven_by p "$(name_of "$admin")" "$(key_of "$admin")" || fail "not proven by the receipt, from $from"
    proven_by p "$(name_of "$admin")" "$(key 1)" 2>/dev/null && fail "proven by another key"
    n=$((n + 1)); mv p receipt.proof
done

# Changed in any place, it proves nothing: each line, several places.
key=$(key_of "$admin") name=$(name_of "$admin") changed=0
size=$(stat -c %s receipt.proof)
text=$(grep -n '^$' receipt.proof | head -1 | cut -d: -f1)
at=$(head -n "$text" receipt.proof | wc -c)   # behind the empty line: the checkpoint
for place in 3 40 200 400 $((at - 120)) $((at - 60)) $((at - 5)) $((at + 20)) $((at + 45)) $((at + 60)) $((size - 30)); do
    { head -c "$place" receipt.proof; unhex "$(printf '%02x' $((16#$(tail -c +$((place + 1)) receipt.proof | head -c 1 | hex) ^ 1)))"
        tail -c +$((place + 2)) receipt.proof; } >evil.proof
    proven_by evil.proof "$name" "$key" 2>/dev/null && fail "proven with byte $place changed"
    changed=$((changed + 1))
done
altered() { proven_by evil.proof "$name" "$key" 2>/dev/null && fail "$1"; changed=$((changed + 1)); }
sed 's/^index 3$/index 4/' receipt.proof >evil.proof; altered "proven as another entry"
sed 4d receipt.proof >evil.proof; altered "proven with a hash removed"
sed 4p receipt.proof >evil.proof; altered "proven with a hash doubled"
sed "2s/.*/extra $(sed -n 5p $lines | tr -d '\n' | base64 -w 0)/" receipt.proof >evil.proof; altered "another entry proven"
# The last unsealed line cannot be proven, nor anything from a log that was changed.
cp -r station/log evil
sed -i '3s/"pid":/"pjd":/; 3s/"nonce":"./"nonce":"x/' evil/entries-*.jsonl
"$KEYTOOL" audit proof --seq 1 -o never evil >out 2>err && fail "a proof from a changed log"
[ ! -e never ] || fail "a proof was written"
"$KEYTOOL" audit proof --seq "$total" station/log >out 2>err && fail "a proof of no entry"
grep -q 'there is no entry' err || fail "no entry: $(<err)"
echo "$n proofs verified with openssl, sha256sum and coreutils; $changed changes found"
