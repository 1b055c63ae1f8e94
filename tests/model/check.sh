#!/bin/sh
# SPDX-License-Identifier: MIT
# The release protocol of the desk under Spin: holds, over every order of steps, crashes and deliveries; and without any one of its precautions it
# does not, which shows that the check can fail. check.sh [MACRO=VALUE...]: a larger world.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

if ! command -v spin >/dev/null; then
    echo "spin is not installed (Debian package spin): the model of the release protocol was not checked"
    exit 77
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# Plainly built: an instrumented one would look for faults of Spin's.
build() {
    spin -a "$@" "$here/release.pml" >spin.out 2>&1 || { cat spin.out; exit 1; }
    "${CC:-cc}" -O1 -w -DSAFETY -o pan pan.c
}

holds() {
    ./pan -m20000 >pan.out 2>&1 || { cat pan.out; exit 1; }
    if ! grep -q 'errors: 0$' pan.out || grep -q 'max search depth too small\|out of memory' pan.out; then
        cat pan.out
        echo "$1: the protocol does not hold, or was not looked at whole"
        exit 1
    fi
    echo "$1: $(sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' pan.out) states, every property holds"
}

# WHAT ASSERTION: without this step of the protocol, this is what goes wrong.
fails() {
    MODEL_BREAK=$1 ./pan -m20000 >pan.out 2>&1 || :
    found=$(sed -n 's/^pan:1: assertion violated *\(.*\) (at depth.*/\1/p' pan.out)
    if [ "$found" != "$2" ]; then
        cat pan.out
        echo "without $1: found '$found' instead of '$2'"
        exit 1
    fi
    echo "without $1: $2 is violated"
}

define=
for macro; do
    define="$define -D$macro"
done
# shellcheck disable=SC2086
build $define
holds "release protocol$define"
[ -z "$define" ] || exit 0

extended='(sent[r].extends&&(copy_size>=sent[r].size))'
fails no_flush 'log_release[sent[r].want]'
fails copy_later "$extended"
fails no_extend "$extended"
fails no_longer '!(served[r])'
fails no_gate '!(said_over)'
fails ack_early '!(said_over)'
fails no_recover '!(said_over)'
fails no_lock '(n<=1)'
fails no_recall '(n<=1)'
fails any_answer '(r==n)'
