#!/bin/sh
# docs.sh RMCTL - writes what is generated from tables into the documents: the sample file, and the parts of
# raftmgr.conf(5) between "begin NAME" and "end NAME". A unit test holds them against the tables.
set -eu

RMCTL=$1
HERE=$(cd "$(dirname "$0")/.." && pwd)
PAGE=$HERE/docs/man/raftmgr.conf.5

# Replaces one part of the manual page.
part() {
    {
        sed -n "1,/^\.\\\\\" begin $1\$/p" "$PAGE"
        "$RMCTL" debug "$1"
        sed -n "/^\.\\\\\" end $1\$/,\$p" "$PAGE"
    } >"$PAGE.new"
    mv "$PAGE.new" "$PAGE"
}

"$RMCTL" debug settings-sample >"$HERE/docs/reference/raftmgr.conf.sample"
part settings-manual
part postgresql-manual
