#!/bin/bash
# SPDX-License-Identifier: MIT
# Arguments, for every verb that there is: the table is asked, so that a new verb is tested by being in it.
. "$(dirname "$0")/lib.sh"

"$K" >out 2>err </dev/null
[ $? -eq 2 ] || fail "no arguments at all"
has err "Usage: keytool NOUN VERB"
k 0 --help
has out "Usage: keytool NOUN VERB" grant station audit
k 0 --version
has out "keytool "
k 2 nonsense
has err '"nonsense"'
for noun in identity vault policy record device grant bundle station audit; do
    k 0 "$noun" --help
    k 2 "$noun"
    has err "$noun needs a verb:"
    k 2 "$noun" nonsense
    has err "$noun has no verb \"nonsense\"; it has:"
done

k 0 --tables
mv out tables.json
/usr/bin/python3 - <<'PY' >verbs
import json
for v in json.load(open('tables.json')):
    print('\x1f'.join([v['noun'], v['verb'], v['args'], v['summary'], ' '.join(v['options'])]))
PY
[ "$(wc -l <verbs)" -ge 40 ] || fail "only $(wc -l <verbs) verbs"

while IFS=$'\x1f' read -r noun verb args summary options; do
    k 0 "$noun" "$verb" --help
    has out "Usage: keytool $noun $verb [options]${args:+ $args}" "$summary"
    for option in $options; do has out "--$option"; done
    k 0 "$noun" "$verb" --version
    k 2 "$noun" "$verb" --nonsense
    has err "unknown option --nonsense"
    k 2 "$noun" "$verb" -x
    k 2 "$noun" "$verb" --=x
    # No verb goes without arguments, or without what it needs.
    k 2 "$noun" "$verb"
    k 2 "$noun" "$verb" a b c d e f g h --csv
    # Each option that is not the verb's is refused by name; each of its own that wants a value says so.
    for other in to job csv ranks enrol no-handin photos reason-code; do
        case " $options " in
            *" $other "*) ;;
            *) k 2 "$noun" "$verb" "--$other" x
               has err "does not take --$other" ;;
        esac
    done
    k 2 "$noun" "$verb" --quiet=yes x
    has err "--quiet takes no value"
done <verbs

# Where options may stand, and how they may be written.
identities alice
k 0 identity show --json alice.key.pub
k 0 identity show alice.key.pub --json
json 'd["name"]' alice
mkdir opts && cp alice.key.pub opts/--json
(cd opts && setsid --wait "$K" identity show -- --json) >out 2>err </dev/null || fail "-- does not end the options"
has out "admin alice"
k 0 identity new --role=admin --name=bob --no-passphrase bob.key
k 2 identity new --role admin --role admin --name carol --no-passphrase carol.key
has err "--role was given twice"
k 2 identity new --role admin --name
has err "--name needs a value"
k 2 identity show alice.key bob.key
k 2 identity show --json=1 alice.key
k 0 identity show alice.key -q
k 1 identity show nowhere.key
has err "nowhere.key"
# Results that cannot be written are a failure.
ran="identity show >/dev/full"
setsid --wait "$K" identity show alice.key.pub >/dev/full 2>err </dev/null
[ $? -eq 1 ] || fail "a full standard output was not noticed"
setsid --wait "$K" identity show --json alice.key.pub >/dev/full 2>err </dev/null
[ $? -eq 1 ] || fail "a full standard output was not noticed"
exit 0
