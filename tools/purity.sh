#!/bin/sh
# purity.sh ALLOWED OBJECT... - the objects, joined, may leave undefined only the symbols that the file ALLOWED lists.
set -eu
allowed=$1
shift
[ $# -gt 0 ] || {
    echo "purity: there are no objects" >&2
    exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ld -r -o "$work/core.o" "$@"
nm -u "$work/core.o" | awk '{ print $NF }' | sort -u >"$work/used"
sed 's/#.*//; s/[[:space:]]*$//; /^$/d' "$allowed" >"$work/patterns"
if grep -v -x -E -f "$work/patterns" "$work/used" >"$work/impure"; then
    while read -r symbol; do
        users=$(for object in "$@"; do nm -u "$object" | grep -q -w "$symbol" && basename "$object" .o; done || true)
        echo "purity: core uses $symbol in:" $users >&2
    done <"$work/impure"
    exit 1
fi
echo "purity: core needs $(wc -l <"$work/used") symbols from outside, all pure"
