#!/bin/sh
# libraft.sh - builds Debian's libraft 0.22 into build/deps/libraft where the system has none.
#
# Debian 13 packages it. For Debian 12 this fetches the source package of Debian 13; debian.sh says how. Why no older
# libraft is good enough: docs/decisions/0001-libraft.md.
set -eu
# What raftmgr's own make was told is not meant for libraft's.
unset MAKEFLAGS MFLAGS MAKELEVEL BUILD CFLAGS LDFLAGS

OLDEST=0.22.1
BELOW=0.23
SUITE=trixie
NAME=deps
HERE=$(cd "$(dirname "$0")/.." && pwd)
ROOT=$HERE/build/deps
PREFIX=$ROOT/libraft
# shellcheck source=tools/debian.sh
. "$HERE/tools/debian.sh"

usable() {
    dpkg --compare-versions "$1" ge "$OLDEST" && dpkg --compare-versions "$1" lt "$BELOW"
}

refuse() {
    die "libraft $1 is not usable, $OLDEST up to below $BELOW is needed: up to 0.17.0 libraft commits entries of an" \
        "old term by counting replicas, so that a committed entry can be replaced, and a member running 0.15 cannot elect" \
        "a leader with newer ones; 0.18 is no longer maintained; a later minor may change the interface" \
        "(docs/decisions/0001-libraft.md)"
}

fetch() {
    fetch_source "$SUITE" raft
    usable "$version" || refuse "$version"
    unpack_source
}

# Without lz4, which libraft no longer compresses with, and with its assertions, which its own build turns off: a member
# that would go on in a state thought impossible must stop.
# Built in a directory of its own and moved into place at the end, so that half a build is never taken for a whole one.
build() {
    log=$ROOT/libraft-build.log
    say "building libraft $version (output in build/deps/libraft-build.log)"
    stage=$ROOT/stage
    rm -rf "$stage"
    if ! (
        cd "$ROOT/src/tree"
        autoreconf --install
        ./configure --prefix="$PREFIX" --libdir="$PREFIX/lib" --disable-shared --enable-static --with-pic \
            --enable-uv --without-lz4 CFLAGS="-O2 -g -fPIC -UNDEBUG"
        make -j2 libraft.la
        make install-libLTLIBRARIES install-data DESTDIR="$stage"
    ) >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        die "could not build libraft, see $log"
    fi
    mkdir -p "$PREFIX"
    rm -rf "$PREFIX"
    mv "$stage$PREFIX" "$PREFIX"
    rm -rf "$stage" "$ROOT/src" "$ROOT/apt"
    echo "$version" >"$PREFIX/version"
}

have=$(pkg-config --modversion raft 2>/dev/null || true)
if [ -n "$have" ] && usable "$have"; then
    say "libraft $have is installed"
    exit 0
fi
if [ -r "$PREFIX/version" ]; then
    have=$(cat "$PREFIX/version")
    usable "$have" || refuse "$have"
    say "libraft $have is in build/deps/libraft"
    exit 0
fi
[ -z "$have" ] || say "libraft $have is installed, but older than $OLDEST: building one beside it"
fetch
build
say "libraft $version is in build/deps/libraft"
