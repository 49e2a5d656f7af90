#!/bin/sh
# postgres.sh MAJOR - builds Debian's PostgreSQL of that major below build/deps/postgresql-MAJOR, for tests with versions
# that this release does not package.
#
# From the source package of the Debian release that has it; debian.sh says how. Built without ICU and readline, which
# raftmgr has no use for, so that few packages are needed. Nothing is installed outside but the compiler's tools.
set -eu
# What raftmgr's own make was told is not meant for PostgreSQL's.
unset MAKEFLAGS MFLAGS MAKELEVEL BUILD CFLAGS LDFLAGS

MAJOR=${1:-}
NAME=postgres
HERE=$(cd "$(dirname "$0")/.." && pwd)
ROOT=$HERE/build/deps/postgresql-$MAJOR.build
PREFIX=$HERE/build/deps/postgresql-$MAJOR
TOOLS="gcc make dpkg-dev debian-archive-keyring ca-certificates bison flex perl libssl-dev liblz4-dev zlib1g-dev"
# shellcheck source=tools/debian.sh
. "$HERE/tools/debian.sh"

case $MAJOR in
13) suite=bullseye ;;
15) suite=bookworm ;;
17) suite=trixie ;;
*) die "say a major version that a Debian release packages: 13, 15 or 17" ;;
esac

# Installed below $stage and moved into place at the end, so that half a build is never taken for a whole one.
build() {
    log=$ROOT/build.log
    stage=$ROOT/stage
    say "building PostgreSQL $version (some minutes; output in ${log#"$HERE/"})"
    rm -rf "$stage"
    if ! (
        cd "$ROOT/src/tree"
        ./configure --prefix="$PREFIX" --without-readline --without-icu --with-openssl --with-lz4 \
            --with-extra-version=" (Debian $version)" CFLAGS="-O2 -g"
        make -j2
        make install DESTDIR="$stage"
    ) >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        die "could not build PostgreSQL, see $log"
    fi
    rm -rf "$PREFIX"
    mv "$stage$PREFIX" "$PREFIX"
    rm -rf "$ROOT"
}

if [ ! -x "$PREFIX/bin/pg_rewind" ]; then
    # shellcheck disable=SC2086 # a list of words
    absent=$(missing $TOOLS)
    # shellcheck disable=SC2086
    [ -z "$absent" ] || install $absent
    fetch_source "$suite" "postgresql-$MAJOR"
    unpack_source
    build
fi
say "$("$PREFIX/bin/postgres" --version) is in ${PREFIX#"$HERE/"}"
