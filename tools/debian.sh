# debian.sh - apt, as the scripts here use it. They source it, and set NAME (for their messages) and ROOT (below build).
#
# Source packages of other releases come by apt's own checks: an apt configuration, package lists and cache of its own
# below $ROOT, the mirror of the system's own sources, signed by Debian's archive keys. The system's sources and lists
# stay as they are.
# shellcheck shell=sh

KEYS=/usr/share/keyrings/debian-archive-keyring.gpg

say() {
    echo "$NAME: $*"
}

die() {
    echo "$NAME: $*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "root is needed to install packages: run this as root, or install sudo"
    fi
}

# The packages among "$@" that are not there.
missing() {
    for package in "$@"; do
        status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$status" = installed ] || echo "$package"
    done
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

# Installs "$@", from the lists that are there, or from new ones where those are too old.
install() {
    say "installing $*"
    apt_install "$@" && return
    say "reading the package lists again"
    as_root apt-get update -q
    apt_install "$@" || die "could not install $*"
}

# The mirror that the system's own sources name for the main archive: one-line format, or deb822.
mirror() {
    found=$(sed -n 's/^deb\(-src\)\{0,1\} \{1,\}\(\[[^]]*\] *\)\{0,1\}\(http[^ ]*\) .*/\3/p' \
        /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
        grep '/debian/*$' | head -n 1) || found=
    [ -n "$found" ] || found=$(sed -n 's/^URIs:[[:space:]]*//p' /etc/apt/sources.list.d/*.sources 2>/dev/null |
        tr -s ' \t' '\n\n' | grep '^http.*/debian/*$' | head -n 1) || found=
    [ -n "$found" ] || die "found no Debian mirror in the system's apt sources: name one there"
    echo "$found"
}

# apt with a state of its own; proxies and the like are still taken from the system's configuration.
private_apt() {
    command=$1
    shift
    "$command" -c "$ROOT/apt/apt.conf" -q "$@"
}

# configure_apt SUITE
configure_apt() {
    [ -r "$KEYS" ] || die "$KEYS is missing: install debian-archive-keyring"
    MIRROR=$(mirror) || exit 1
    mkdir -p "$ROOT/apt/lists/partial" "$ROOT/apt/cache/archives/partial"
    : >"$ROOT/apt/status"
    cat >"$ROOT/apt/sources.list" <<LIST
deb-src [signed-by=$KEYS] $MIRROR $1 main
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

# fetch_source SUITE PACKAGE: into $ROOT/src; sets version, and dsc, the file to unpack.
fetch_source() {
    configure_apt "$1"
    say "fetching the source package $2 of $1 from $MIRROR"
    private_apt apt-get update || die "could not read the package lists of $1: is the network there?"
    rm -rf "$ROOT/src"
    mkdir -p "$ROOT/src"
    [ "$(id -u)" -ne 0 ] || chown _apt "$ROOT/src"
    (cd "$ROOT/src" && private_apt apt-get -q=2 source --download-only --only-source "$2") ||
        die "could not fetch the source package $2"
    set -- "$ROOT/src/$2"_*.dsc
    dsc=$1
    version=$(sed -n 's/^Version: //p' "$dsc" | head -n 1)
}

# Unpacks what fetch_source brought into $ROOT/src/tree. apt has checked the archive's signature down to these files;
# the maintainer's own key need not be known here.
unpack_source() {
    dpkg-source --no-check --no-copy -x "$dsc" "$ROOT/src/tree" >/dev/null
}
