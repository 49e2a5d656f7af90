#!/bin/bash
# tally.sh LOGS NAME=COMMAND... - runs the steps of a test run and adds up what passed and failed.
#
# A step that counts says so in its last line of the form "N passed, N failed"; any other step is one test. A step that
# fails without having counted a failure is one failure. What a step printed is kept in LOGS/NAME.log.
set -u

logs=$1
shift
mkdir -p "$logs"
passed=0
failed=0
for step in "$@"; do
    name=${step%%=*}
    echo "== $name"
    began=$SECONDS
    bash -c "${step#*=}" 2>&1 | tee "$logs/$name.log"
    status=${PIPESTATUS[0]}
    counted=$(grep -oE '[0-9]+ passed, [0-9]+ failed' "$logs/$name.log" | tail -n 1)
    read -r good _ bad _ <<<"${counted:-0 passed, 0 failed}"
    if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
        bad=1
        echo "== $name failed with status $status" >&2
    elif [ "$status" -eq 0 ] && [ -z "$counted" ]; then
        good=1
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
    echo "== $name: $good passed, $bad failed, $((SECONDS - began)) s"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
