#!/bin/sh
# need-deps.sh LIBRAFT PACKAGE... - fails with advice where a library that the build links is not there.
libraft=$1
shift
for package in "$@"; do
    pkg-config --exists "$package" 2>/dev/null || absent="$absent $package"
done
[ -z "$libraft" ] || [ -e "$libraft" ] || absent="$absent libraft-0.22"
[ -z "$absent" ] || {
    echo "missing:$absent. Run 'make deps' to install what raftmgr needs." >&2
    exit 1
}
