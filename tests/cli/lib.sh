# SPDX-License-Identifier: MIT
# For the tests of the command line: a folder of its own, one function that runs keytool and insists on its exit status, and a few that
# look at what it said. A test is a script that sources this and ends by itself: the first thing that does not hold ends it with 1.
#
# From tests/cli/meson.build: KEYTOOL, KEYTOOL_CLOCK (its clock is set by `later`), SYNTH.
set -u
export LC_ALL=C.UTF-8 TZ=UTC
unset CREDENTIALS_DIRECTORY VAULTFS_TEST_CLOCK
umask 022

work=$(mktemp -d "${TMPDIR:-/tmp}/vaultfs-cli-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
mkdir -m 700 run
export XDG_RUNTIME_DIR=$work/run
K=$KEYTOOL
ran=

fail() {
    local i=1
    while [[ ${BASH_SOURCE[$i]} == */lib.sh ]]; do i=$((i + 1)); done
    echo "FAILED at ${BASH_SOURCE[$i]##*/}:${BASH_LINENO[$((i - 1))]}: $*" >&2
    echo "  after: $ran" >&2
    [ -e out ] && sed 's/^/  out: /' out >&2
    [ -e err ] && sed 's/^/  err: /' err >&2
    exit 1
}

# k STATUS ARGUMENT...: run keytool without a terminal; it must end with STATUS. What it wrote is in the files out and err.
# A failure says why in one line that begins with its name; wrong usage points to the help as well.
k() {
    local want=$1 got lines
    shift
    ran="keytool $*"
    setsid --wait "$K" "$@" >out 2>err </dev/null
    got=$?
    [ "$got" -eq "$want" ] || fail "exit status $got instead of $want"
    [ "$want" -eq 0 ] && return
    lines=$(grep -c "^${K##*/}: " err)
    [ "$lines" -eq 1 ] || fail "$lines lines of error instead of one"
    if [ "$want" -eq 2 ]; then
        grep -q -- "--help says more\.$\|--help lists what there is$\|needs a verb:\|; it has:" err || fail "wrong usage does not point to the help"
    fi
}

# has FILE TEXT..., hasnt FILE TEXT...: each text as it stands.
has() {
    local file=$1 text
    shift
    for text; do grep -qF -- "$text" "$file" || fail "\"$text\" is not in $file"; done
}
hasnt() {
    local file=$1 text
    shift
    for text; do grep -qF -- "$text" "$file" && fail "\"$text\" is in $file"; done
    return 0
}

# json EXPRESSION VALUE: of the document d that the last command printed, as Python sees it and prints it.
json() {
    local got
    got=$(/usr/bin/python3 -c 'import json, sys; d = json.load(open("out")); print(eval(sys.argv[1]))' "$1") || fail "no JSON, or no $1"
    [ "$got" = "$2" ] || fail "$1 is $got instead of $2"
}
value() { /usr/bin/python3 -c 'import json, sys; d = json.load(open("out")); print(eval(sys.argv[1]))' "$1"; }

mode_is() { [ "$(stat -c %a "$2")" = "$1" ] || fail "$2 has mode $(stat -c %a "$2") instead of $1"; }
same() { cmp -s "$1" "$2" || fail "$1 and $2 differ"; }
absent() { [ ! -e "$1" ] || fail "$1 is there"; }

# flip FILE OFFSET: one bit. Negative: from the end.
flip() {
    /usr/bin/python3 - "$1" "$2" <<'PY'
import sys
data = bytearray(open(sys.argv[1], 'rb').read())
data[int(sys.argv[2])] ^= 1
open(sys.argv[1], 'wb').write(data)
PY
}
cut() { head -c "$2" "$1" >"$1.cut"; } # cut FILE BYTES: FILE.cut

# later SECONDS [BOOT-SECONDS]: from now on K is the keytool of that much later, on both clocks unless told otherwise.
later() {
    K=$KEYTOOL_CLOCK
    export VAULTFS_TEST_CLOCK=$work/test-clock
    /usr/bin/python3 -c 'import struct, sys; sys.stdout.buffer.write(struct.pack("=qqq", int(sys.argv[1]) * 1000000, int(sys.argv[2]) * 1000000, 0))' \
        "$1" "${2:-$1}" >"$work/test-clock"
}

# identities NAME...: NAME.key without a passphrase.
identities() {
    local name
    for name; do k 0 identity new --role admin --name "$name" --no-passphrase "$name.key"; done
}

# force N [SYNTH-OPTION...]: vault V of alice and bob, either of whom is enough, with N officers; force/ is what they were made from.
force() {
    local n=$1
    shift
    "$SYNTH" --out force --records "$n" "$@" >/dev/null || fail "the synthetic force was not made"
    [ -e alice.key ] || identities alice bob
    k 0 vault create --force-name "Testshire Police" --admin alice.key.pub --admin bob.key.pub --threshold 1 --key alice.key V
    k 0 vault set --ranks force/ranks.txt --key alice.key V
    k 0 record import --csv force/force.csv --map force/force.map --photos force/photos --key alice.key V
}

# station NAME [VAULT]: station NAME and NAME.enrol, of the vault's force.
station() {
    rm -f force.policy
    k 0 policy export -o force.policy "${2:-V}"
    k 0 station create --name "$1" --policy force.policy --no-passphrase -o "$1.enrol" "$1"
}

# grant JOB STATION [OPTION...]: JOB.grant and JOB.bundle for an hour; everything of the card, of all records, unless options say otherwise.
grant() {
    local job=$1 to=$2
    shift 2
    case " $* " in *" --profile "* | *" --fields "*) ;; *) set -- "$@" --profile card-print ;; esac
    case " $* " in *" --list "* | *" --where "*) ;; *) set -- "$@" --records all ;; esac
    case " $* " in *" --until "*) ;; *) set -- "$@" --until +1h ;; esac
    k 0 grant issue --to "$to.enrol" --job "$job" --purpose "test of $job" --release offline "$@" --key alice.key -o "$job.grant" V
    k 0 bundle export --grant "$job.grant" --key alice.key -o "$job.bundle" V
}
