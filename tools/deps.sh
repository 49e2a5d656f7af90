#!/bin/sh
# deps.sh - installs what building and testing needs, with apt, and has libraft built. Quick when nothing is missing.
#
# Debian's server package would create a cluster "main" and start it. A setting forbids that for as long as the
# installation takes, so that this machine is left with no PostgreSQL server of ours; clusters that exist are not touched.
set -eu

NAME=deps
HERE=$(cd "$(dirname "$0")/.." && pwd)
CREATECLUSTER=/etc/postgresql-common/createcluster.conf
RELEASE=$(sed -n 's/^VERSION_ID="\{0,1\}\([0-9]*\).*/\1/p' /etc/os-release)
BUILD_PACKAGES="gcc make pkg-config libuv1-dev libjansson-dev libssl-dev liblz4-dev libpq-dev"
LIBRAFT_PACKAGES="dpkg-dev autoconf automake libtool ca-certificates debian-archive-keyring"
TEST_PACKAGES="libcunit1-dev postgresql-common iproute2 nftables procps python3 mandoc util-linux"
CHECK_PACKAGES="clang clang-format clang-tidy cppcheck"

# shellcheck source=tools/debian.sh
. "$HERE/tools/debian.sh"

# The newest server that Debian offers on this release, unless one that raftmgr manages is there already.
server_package() {
    for bin in /usr/lib/postgresql/*/bin/initdb; do
        if [ -x "$bin" ]; then
            return
        fi
    done
    case $RELEASE in
    12) echo postgresql-15 ;;
    13) echo postgresql-17 ;;
    *) echo postgresql ;;
    esac
}

restore_createcluster() {
    [ ! -e "$CREATECLUSTER.raftmgr" ] || as_root mv "$CREATECLUSTER.raftmgr" "$CREATECLUSTER"
}

install_server() {
    if [ -e "$CREATECLUSTER" ]; then
        trap restore_createcluster EXIT
        trap 'exit 1' INT TERM HUP
        as_root cp -p "$CREATECLUSTER" "$CREATECLUSTER.raftmgr"
        as_root sed -i '$a create_main_cluster = false' "$CREATECLUSTER"
    fi
    install "$1"
    restore_createcluster
}

command -v apt-get >/dev/null || die "there is no apt-get: install by hand what docs/testing.md names"
restore_createcluster

wanted="$BUILD_PACKAGES $TEST_PACKAGES $CHECK_PACKAGES"
case $RELEASE in
13) wanted="$wanted libraft-dev" ;;
*) wanted="$wanted $LIBRAFT_PACKAGES" ;;
esac
# shellcheck disable=SC2086 # a list of words
absent=$(missing $wanted)
# shellcheck disable=SC2086
[ -z "$absent" ] || install $absent
server=$(server_package)
[ -z "$server" ] || install_server "$server"
"$HERE/tools/libraft.sh"
say "everything is there"
