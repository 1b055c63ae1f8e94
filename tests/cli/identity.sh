#!/bin/bash
# SPDX-License-Identifier: MIT
# The keys of people and desks.
. "$(dirname "$0")/lib.sh"

k 0 identity new --role admin --name alice --no-passphrase alice.key
has out "admin alice" fingerprint
has err "no passphrase"
mode_is 600 alice.key
mode_is 644 alice.key.pub
words=$(sed -n 's/^fingerprint //p' out)
[[ $words =~ ^[A-Z2-7]{4}(-[A-Z2-7]{4}){7}$ ]] || fail "\"$words\" is no fingerprint"
for file in alice.key alice.key.pub; do
    k 0 identity show "$file"
    has out "admin alice" "$words"
done
k 0 identity show --json alice.key
json 'd["fingerprint"]' "$words"
json 'd["passphrase"]' False
json 'd["file"]' secret
[ "$(value 'd["public"]')" = "$(cat alice.key.pub)" ] || fail "the public line is not that of the public file"
k 0 identity new --role desk --name desk.one --no-passphrase desk.key
has out "desk desk.one"

# Nothing is overwritten.
cp alice.key before
k 1 identity new --role admin --name alice --no-passphrase alice.key
has err "alice.key: exists already" "--force"
same alice.key before
rm alice.key
k 1 identity new --role admin --name alice --no-passphrase alice.key
has err "alice.key.pub: exists already"
absent alice.key
cp before alice.key
k 0 identity new --role admin --name alice --no-passphrase --force alice.key

k 2 identity new --role device --name x --no-passphrase x.key
k 2 identity new --role king --name x --no-passphrase x.key
for name in "" Alice "al ice" -alice .alice "$(printf 'a%.0s' {1..64})" 'al/ice'; do
    k 2 identity new --role admin "--name=$name" --no-passphrase x.key
done
absent x.key
k 1 identity new --role admin --name x --no-passphrase nowhere/x.key

# Passphrases: by file, by command, by credentials; never without a way to ask.
printf 'correct horse\n' >pass
printf 'correct horse\nsecond line\n' >two-lines
printf 'wrong\n' >wrong
: >empty
k 1 identity new --role admin --name bob bob.key
has err "passphrase"
absent bob.key
k 1 identity new --role admin --name bob --passphrase-file empty bob.key
absent bob.key
k 0 identity new --role admin --name bob --passphrase-file pass bob.key
hasnt err "no passphrase"
k 0 identity show bob.key # no passphrase is needed to look at it
has out "with a passphrase"
hasnt bob.key "correct horse"
admins=(--admin alice.key.pub --admin bob.key.pub --threshold 1)
open=(vault create --force-name F "${admins[@]}" --key bob.key)
k 1 "${open[@]}" V1
k 1 "${open[@]}" --passphrase-file wrong V1
has err "passphrase"
absent V1
k 1 "${open[@]}" --passphrase-file nowhere V1
k 0 "${open[@]}" --passphrase-file two-lines V1
k 0 "${open[@]}" --passphrase-command 'printf "correct horse"' V2
k 1 "${open[@]}" --passphrase-command 'false' V3
mkdir credentials
cp pass credentials/bob.key.passphrase
export CREDENTIALS_DIRECTORY=$work/credentials
k 0 "${open[@]}" V3

# What the credentials hold is the old passphrase, never the new one.
cp bob.key before.key
k 1 identity passphrase bob.key
has err "a new passphrase is needed" "--new-passphrase-file"
same bob.key before.key
printf 'newly typed\n' >typed
cp bob.key carol.key
cp pass credentials/carol.key.passphrase
# On a terminal the new one is asked for, twice.
/usr/bin/python3 - "$K" <<'PY' || fail "the new passphrase was not asked for on the terminal"
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], 'identity', 'passphrase', 'carol.key'])
said, asked = b'', 0
while True:
    try:
        more = os.read(fd, 4096)
    except OSError:
        break
    if not more:
        break
    said += more
    if said.count(b'carol.key: ') > asked and asked < 2:
        asked += 1
        os.write(fd, b'newly typed\n')
sys.exit(0 if asked == 2 and os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0 and b'was changed' in said else 1)
PY
k 1 vault create --force-name F "${admins[@]}" --key carol.key V8 # the credentials' one is the old one now
k 0 vault create --force-name F "${admins[@]}" --key carol.key --passphrase-file typed V8
k 0 identity passphrase --new-passphrase-file typed bob.key
k 0 "${open[@]}" --passphrase-file typed V9
cp before.key bob.key
unset CREDENTIALS_DIRECTORY

# Changing it.
printf 'battery staple\n' >next
k 0 identity passphrase --passphrase-file pass --new-passphrase-file next bob.key
k 1 "${open[@]}" --passphrase-file pass V4
k 0 "${open[@]}" --passphrase-file next V4
mode_is 600 bob.key
k 1 identity passphrase --passphrase-file pass --new-passphrase-file pass bob.key
k 0 identity passphrase --passphrase-file next --no-passphrase bob.key
has err "was removed"
k 0 "${open[@]}" V5
k 0 identity show bob.key
has out "WITHOUT a passphrase"

# A secret that others can read is told of, and used all the same.
chmod 644 bob.key
k 0 "${open[@]}" V6
has err "warning: bob.key" "chmod 600"
chmod 600 bob.key

# The wrong one of the two files.
k 3 vault create --force-name X --admin bob.key --threshold 1 --key bob.key V7
has err "bob.key.pub"
k 3 vault create --force-name X --admin bob.key.pub --threshold 1 --key bob.key.pub V7
has err "secret"
absent V7

# Damage and other files.
cp bob.key bad.key
flip bad.key 200
k 3 identity show bad.key
cut bob.key 100
k 3 identity show bob.key.cut
echo "some text" >text
k 3 identity show text
k 3 identity passphrase --no-passphrase text
sed 's/admin/kings/' alice.key.pub >bad.pub
k 3 identity show bad.pub
head -c 5000 /dev/zero >large
k 1 identity show large # over the permitted size
k 1 identity show .
exit 0
