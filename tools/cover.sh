#!/bin/sh
# cover.sh BUILD - which share of the lines of each file of src/ the runs of this build reached, least first.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
top=$PWD
cd "$work"
# A file whose objects were never run has notes (.gcno) and no counts: it shows as 0 %.
find "$top/$1/obj" -name '*.gcno' -exec gcov -n -r -s "$top" {} + 2>/dev/null |
    awk -F"[':% ]+" -v top="$top/" '
        /^File / { file = $2; sub("^" top, "", file) }
        /^Lines executed/ && file ~ /^src\/.*\.c$/ { printf "%6.2f %% of %4d  %s\n", $3, $NF, file; file = "" }' |
    sort -n >shares
cat shares
awk '{ lines += $4; reached += $1 * $4 / 100 }
    END { if (lines) printf "cover: %.1f %% of %d lines in %d files\n", 100 * reached / lines, lines, NR }' shares
