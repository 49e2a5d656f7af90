#!/bin/sh
# libraft.sh - builds Debian's libraft 0.22 into build/deps/libraft where the system has none.
#
# Debian 13 packages it. For Debian 12 this fetches the source package of Debian 13 with apt's own checks: an apt
# configuration, package lists and cache of its own below build/deps, the mirror of the system's own sources, signed by
# Debian's archive keys. The system's sources and lists stay as they are. Why no older libraft is good enough:
# docs/decisions/0001-libraft.md.
set -eu
# What raftmgr's own make was told is not meant for libraft's.
unset MAKEFLAGS MFLAGS MAKELEVEL BUILD CFLAGS LDFLAGS

OLDEST=0.22.1
BELOW=0.23
SUITE=trixie
KEYS=/usr/share/keyrings/debian-archive-keyring.gpg
HERE=$(cd "$(dirname "$0")/.." && pwd)
ROOT=$HERE/build/deps
PREFIX=$ROOT/libraft

say() {
    echo "deps: $*"
}

die() {
    echo "deps: $*" >&2
    exit 1
}

usable() {
    dpkg --compare-versions "$1" ge "$OLDEST" && dpkg --compare-versions "$1" lt "$BELOW"
}

refuse() {
    die "libraft $1 is not usable, $OLDEST up to below $BELOW is needed: up to 0.17.0 libraft commits entries of an" \
        "old term by counting replicas, so that a committed entry can be replaced, and a member running 0.15 cannot elect" \
        "a leader with newer ones; 0.18 is no longer maintained; a later minor may change the interface" \
        "(docs/decisions/0001-libraft.md)"
}

# The mirror that the system's own sources name for the main archive: one-line format, or deb822.
mirror() {
    found=$(sed -n 's/^deb\(-src\)\{0,1\} \{1,\}\(\[[^]]*\] *\)\{0,1\}\(http[^ ]*\) .*/\3/p' \
        /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
        grep '/debian/*$' | head -n 1) || found=
    [ -n "$found" ] || found=$(sed -n 's/^URIs:[[:space:]]*//p' /etc/apt/sources.list.d/*.sources 2>/dev/null |
        tr -s ' \t' '\n\n' | grep '^http.*/debian/*$' | head -n 1) || found=
    [ -n "$found" ] || die "found no Debian mirror in the system's apt sources: name one there, or install libraft-dev $OLDEST"
    echo "$found"
}

# apt with a state of its own; proxies and the like are still taken from the system's configuration.
private_apt() {
    command=$1
    shift
    "$command" -c "$ROOT/apt/apt.conf" -q "$@"
}

configure_apt() {
    [ -r "$KEYS" ] || die "$KEYS is missing: install debian-archive-keyring"
    MIRROR=$(mirror) || exit 1
    mkdir -p "$ROOT/apt/lists/partial" "$ROOT/apt/cache/archives/partial"
    : >"$ROOT/apt/status"
    cat >"$ROOT/apt/sources.list" <<LIST
deb-src [signed-by=$KEYS] $MIRROR $SUITE main
LIST
    cat >"$ROOT/apt/apt.conf" <<CONF
Dir::State "$ROOT/apt";
Dir::State::lists "$ROOT/apt/lists";
Dir::State::status "$ROOT/apt/status";
Dir::Cache "$ROOT/apt/cache";
Dir::Etc::SourceList "$ROOT/apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::Retries "3";
#clear APT::Update;
CONF
}

fetch() {
    configure_apt
    say "fetching the source package raft of $SUITE from $MIRROR"
    private_apt apt-get update || die "could not read the package lists of $SUITE: is the network there?"
    rm -rf "$ROOT/src"
    mkdir -p "$ROOT/src"
    [ "$(id -u)" -ne 0 ] || chown _apt "$ROOT/src"
    (cd "$ROOT/src" && private_apt apt-get -q=2 source --download-only --only-source raft) ||
        die "could not fetch the source package raft"
    set -- "$ROOT"/src/raft_*.dsc
    version=$(sed -n 's/^Version: //p' "$1" | head -n 1)
    usable "$version" || refuse "$version"
    # apt has checked the archive's signature down to these files; the maintainer's own key need not be known here.
    dpkg-source --no-check --no-copy -x "$1" "$ROOT/src/raft" >/dev/null
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
        cd "$ROOT/src/raft"
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
