#!/bin/sh
# SPDX-License-Identifier: MIT
# Man pages without a warning of mandoc's. lint.sh SOURCE
if ! command -v mandoc >/dev/null; then
    echo "there is no mandoc"
    exit 77
fi
cd "$1/docs/man" || exit 1
found=$(mandoc -Tlint -W warning -- *.1 2>&1)
if [ -n "$found" ]; then
    echo "$found"
    exit 1
fi
echo "$(ls -- *.1 | wc -l) pages, no warning"
