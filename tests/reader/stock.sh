#!/bin/bash
# SPDX-License-Identifier: MIT
# What the force signed and what a station's log says, verified with stock tools alone: bash, coreutils (sha256sum, base64, od, ...) and openssl.
# The functions below are all it takes; the rest makes things to verify, and shows that one changed bit makes it fail.
set -eu -o pipefail
export LC_ALL=C.UTF-8
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export XDG_RUNTIME_DIR=$work

fail() { echo "FAILED: $*" >&2; exit 1; }

# ------------------------------------------------------------------------------------------------------------ with stock tools

# Bytes from and to hex.
hex() { od -An -v -tx1 | tr -d ' \n'; }
unhex() { local h=$1 s=; while [ -n "$h" ]; do s+="\\x${h:0:2}"; h=${h:2}; done; printf '%b' "$s"; }
sha() { local out; out=$(sha256sum); echo "${out%% *}"; }

# text_of NOTE: what is signed: everything up to the last empty line, without it.
text_of() {
    local line text= pending=
    while IFS= read -r line; do
        if [ -z "$line" ]; then text+=$pending; pending=$'\n'; else pending+=$line$'\n'; fi
    done <"$1"
    printf '%s' "$text"
}

# lines_of NOTE: the signature lines, without the dash: NAME BASE64.
lines_of() {
    local line
    while IFS= read -r line; do
        case "$line" in '— '*) printf '%s\n' "${line#— }" ;; esac
    done <"$1"
}

# value_of KEY FILE: the rest of the first line "KEY: ..." or "KEY ...".
value_of() {
    local line
    while IFS= read -r line; do
        case "$line" in "$1: "*) printf '%s\n' "${line#"$1: "}"; return ;; "$1 "*) printf '%s\n' "${line#"$1 "}"; return ;; esac
    done <"$2"
    return 1
}

# verify KEYHEX TEXTFILE SIGNATUREHEX: one Ed25519 signature.
verify() {
    unhex "302a300506032b6570032100$1" >key.der
    unhex "$3" >signature.bin
    openssl pkeyutl -verify -pubin -keyform DER -inkey key.der -rawin -in "$2" -sigfile signature.bin >/dev/null 2>&1
}

# signed NOTE NAME KEYHEX: has this key signed the note? 1: not at all; 2: a signature under its name and key id is false.
signed() {
    local id name box bytes found=1
    id=$({ printf '%s\n\001' "$2"; unhex "$3"; } | sha)
    text_of "$1" >signed.txt
    while read -r name box; do
        bytes=$(printf '%s' "$box" | base64 -d | hex)
        [ "$name" = "$2" ] && [ "${bytes:0:8}" = "${id:0:8}" ] || continue
        [ ${#bytes} = 136 ] && verify "$3" signed.txt "${bytes:8}" || return 2
        found=0
    done < <(lines_of "$1")
    return $found
}

# key_of LINE: the Ed25519 key of a public line, in hex.
key_of() { local words; read -ra words <<<"$1"; printf '%s' "${words[3]}" | base64 -d | head -c 32 | hex; }
name_of() { local words; read -ra words <<<"$1"; printf '%s' "${words[2]}"; }

# admins POLICYTEXT: their public lines.
admins() {
    local line
    while IFS= read -r line; do
        case "$line" in 'admin: '*) printf '%s\n' "${line#admin: }" ;; esac
    done <"$1"
}

# signatures NOTE POLICYTEXT: how many admins of the policy signed the note; fails if one of the signatures is false.
signatures() {
    local n=0 admin status
    while IFS= read -r admin; do
        status=0
        signed "$1" "$(name_of "$admin")" "$(key_of "$admin")" || status=$?
        case $status in 0) n=$((n + 1)) ;; 2) return 2 ;; esac
    done < <(admins "$2")
    echo "$n"
}

# number FILE OFFSET SIZE: a big-endian integer.
number() { echo $((16#$(tail -c +$(($2 + 1)) "$1" | head -c "$3" | hex))); }

# grant GRANT POLICY: a grant against a policy of one version: signatures, hashes, link to the policy.
grant() {
    local size at length part n
    [ "$(head -c 8 "$1")" = VFGRANT1 ] || return 1
    size=$(number "$1" 8 4)
    tail -c +13 "$1" | head -c "$size" >grant.note
    text_of grant.note >grant.text
    head -c -1 "$2" >policy.note # a policy file has an empty line behind each version
    text_of policy.note >policy.text
    n=$(signatures policy.note policy.text) || return 1
    [ "$n" -ge "$(value_of threshold policy.text)" ] || return 1
    [ "$(sha <policy.text)" = "$(value_of policy-sha256 grant.text)" ] || return 1
    n=$(signatures grant.note policy.text) || return 1
    [ "$n" -ge "$(value_of threshold policy.text)" ] || return 1
    at=$((12 + size))
    for part in manifest envelopes catalogue; do
        length=$(number "$1" $at 8)
        [ $((at + 8 + length)) -le "$(stat -c %s "$1")" ] || return 1
        [ "$(tail -c +$((at + 9)) "$1" | head -c "$length" | sha)" = "$(value_of $part-sha256 grant.text)" ] || return 1
        at=$((at + 8 + length))
    done
    [ "$at" = "$(stat -c %s "$1")" ]
}

# root FILE N: the Merkle root of the first N lines, RFC 6962, in hex.
root() {
    local line level=() next i left=$2
    while [ "$left" -gt 0 ] && IFS= read -r line; do
        level+=("$({ printf '\0'; printf '%s' "$line"; } | sha)")
        left=$((left - 1))
    done <"$1"
    [ "$left" = 0 ] || return 1
    # Level by level from the left; one without a neighbour goes up as it is.
    while [ ${#level[@]} -gt 1 ]; do
        next=()
        for ((i = 0; i < ${#level[@]}; i += 2)); do
            if [ $((i + 1)) -lt ${#level[@]} ]; then
                next+=("$({ printf '\001'; unhex "${level[i]}${level[i + 1]}"; } | sha)")
            else
                next+=("${level[i]}")
            fi
        done
        level=("${next[@]}")
    done
    echo "${level[0]}"
}

# log ENROLMENT FOLDER: the whole seal chain of a log that lies in one segment.
log() {
    local enrol=$1 folder=$2 device key origin entries i n
    text_of "$enrol" >enrol.text
    device=$(value_of device enrol.text)
    signed "$enrol" "$(name_of "$device")" "$(key_of "$device")" || return 1
    [ "$(sha <"$folder/origin")" = "$(value_of log enrol.text)" ] || return 1
    signed "$folder/origin" "$(name_of "$device")" "$(key_of "$device")" || return 1
    key=$(value_of seal "$folder/origin" | base64 -d | hex)
    origin=$(value_of log "$folder/origin")
    for entries in "$folder"/entries-*.jsonl; do :; done
    split_checkpoints "$folder/checkpoints"
    n=0
    for ((i = 1; i <= checkpoints; i++)); do
        signed "checkpoint.$i" "$origin" "$key" || return 1
        text_of "checkpoint.$i" >checkpoint.text
        { read -r first; read -r n; read -r root; } <checkpoint.text
        [ "$first" = "$origin" ] || return 1
        [ "$(root "$entries" "$n")" = "$(printf '%s' "$root" | base64 -d | hex)" ] || return 1
        line=$(head -n "$n" "$entries" | tail -n 1)
        case "$line" in *'"event":"seal"'*) ;; *) return 1 ;; esac
        line=${line#*'"key":"'}
        key=$(printf '%s' "${line%%\"*}" | base64 -d | hex)
    done
    echo "$n"
}

# split_checkpoints FILE: into checkpoint.1, checkpoint.2, ... each a note; sets checkpoints.
split_checkpoints() {
    local line empties=0
    checkpoints=1
    rm -f checkpoint.*
    while IFS= read -r line; do
        [ -n "$line" ] || empties=$((empties + 1))
        if [ $empties = 2 ]; then checkpoints=$((checkpoints + 1)); empties=0; continue; fi
        printf '%s\n' "$line" >>checkpoint.$checkpoints
    done <"$1"
    checkpoints=$((checkpoints - 1))
}

# receipt NOTE NAME KEYHEX: the time of a cosignature, checked.
receipt() {
    local id name box bytes seconds
    id=$({ printf '%s\n\004' "$2"; unhex "$3"; } | sha)
    while read -r name box; do
        bytes=$(printf '%s' "$box" | base64 -d | hex)
        [ "$name" = "$2" ] && [ "${bytes:0:8}" = "${id:0:8}" ] && [ ${#bytes} = 152 ] || continue
        seconds=$((16#${bytes:8:16}))
        { printf 'cosignature/v1\ntime %s\n' "$seconds"; text_of "$1"; } >cosigned.txt
        verify "$3" cosigned.txt "${bytes:24}" || return 1
        echo "$seconds"
        return
    done < <(lines_of "$1")
    return 1
}

# ------------------------------------------------------------------------------------------------------------ things to verify

k() { "$KEYTOOL" "$@" >out 2>err </dev/null || { cat out err >&2; fail "keytool $*"; }; }
"$SYNTH" --out force --records 3 --photos none >/dev/null
for name in alice bob carol; do k identity new --role admin --name $name --no-passphrase $name.key; done
k vault create --force-name 'Northshire Police' --admin alice.key.pub --admin bob.key.pub --admin carol.key.pub --threshold 2 --key alice.key vault
k policy export vault -o force.policy
k policy sign --key bob.key force.policy
k policy install --key alice.key force.policy vault
k record import --csv force/force.csv --map force/force.map --key alice.key vault
k station create --name printer --policy force.policy --no-passphrase -o printer.enrol station
for i in 1 2 3; do
    k grant issue --to printer.enrol --job job-$i --fields name_on_card,rank --records all --until +1h --purpose 'Warrant cards' --release offline \
        --key alice.key -o $i.grant vault
    [ $i = 3 ] && cp 3.grant one.grant
    k grant sign --key carol.key --yes $i.grant vault
    k bundle export --grant $i.grant --key alice.key -o $i.bundle vault
    k station receive station $i.grant $i.bundle
done
k station handin station -o printer.log
k device handin printer.log --key alice.key -o printer.receipt vault

# ------------------------------------------------------------------------------------------------------------------- the tests

for i in 1 2 3; do grant $i.grant force.policy || fail "grant $i does not verify"; done
[ "$(signatures grant.note policy.text)" = 2 ] || fail "two admins have signed"
grant one.grant force.policy && fail "a grant with one signature verifies"
log printer.enrol station/log >sealed || fail "the log does not verify"
sealed=$(<sealed)
[ "$sealed" = "$(wc -l <station/log/entries-00000000000000000000.jsonl)" ] || fail "the log is not sealed to its end: $sealed"
[ "$checkpoints" -ge 3 ] || fail "a log of $checkpoints checkpoints"
admin=$(cat alice.key.pub)
seconds=$(receipt printer.receipt "$(name_of "$admin")" "$(key_of "$admin")") || fail "the receipt does not verify"
[ $(($(date +%s) - seconds)) -lt 600 ] || fail "the receipt's time is $seconds"

# flip FILE OFFSET OUT: a copy with one bit changed.
flip() {
    local byte
    byte=$(number "$1" "$2" 1)
    { head -c "$2" "$1"; unhex "$(printf '%02x' $((byte ^ 1)))"; tail -c +$(($2 + 2)) "$1"; } >"$3"
}
size=$(number 1.grant 8 4)
whole=$(stat -c %s 1.grant)
for at in 0 20 200 $((size - 100)) $((size - 30)) $((12 + size + 7)) $((12 + size + 30)) $((whole / 2)) $((whole - 1)); do
    flip 1.grant "$at" evil.grant
    grant evil.grant force.policy 2>/dev/null && fail "a grant with byte $at changed verifies"
done
head -c $((whole - 1)) 1.grant >evil.grant
grant evil.grant force.policy 2>/dev/null && fail "a grant that was cut verifies"
flip force.policy 300 evil.policy
grant 1.grant evil.policy 2>/dev/null && fail "a changed policy verifies"
for file in origin checkpoints entries-00000000000000000000.jsonl; do
    whole=$(stat -c %s station/log/$file)
    for at in 60 $((whole / 3)) $((whole / 2)) $((whole - 40)); do
        rm -rf evil
        cp -r station/log evil
        flip station/log/$file "$at" evil/$file
        log printer.enrol evil >/dev/null 2>&1 && fail "a log with byte $at of $file changed verifies"
    done
done
whole=$(stat -c %s printer.receipt)
for at in 3 40 $((whole - 20)); do # the text, and the last line, which is the cosignature
    flip printer.receipt "$at" evil.receipt
    receipt evil.receipt "$(name_of "$admin")" "$(key_of "$admin")" >/dev/null 2>&1 && fail "a receipt with byte $at changed verifies"
done
echo "grants, policy, log and receipt verified with openssl, sha256sum and coreutils; 25 changes found"
