# Sourced by the scripts beside it: how they speak, and how they become root where they may.
# POSIX sh; works with an empty environment.

say() { printf '%s\n' "$*"; }
complain() { printf '%s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

# Can we install system packages? As root, or through a sudo that asks for no password.
may_be_root() { [ "$(id -u)" = 0 ] || { have sudo && sudo -n true 2>/dev/null; }; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

is_debian() { have apt-get && have dpkg; }

# Runs a command whose output is of interest only when it fails. $1: what it does; $2: log file; rest: command.
quietly() {
    quietly_what=$1 quietly_log=$2
    shift 2
    mkdir -p "$(dirname "$quietly_log")"
    if "$@" >"$quietly_log" 2>&1 </dev/null; then return 0; fi
    complain "$quietly_what failed. The end of $quietly_log:"
    tail -n 15 "$quietly_log" >&2
    return 1
}

# Fresh package lists, once a run, only when something has to be installed.
apt_update_once() {
    [ -z "${apt_updated:-}" ] || return 0
    apt_updated=yes
    say "  reading the package lists (apt-get update) ..."
    quietly "apt-get update" .tools/log/apt-update.log as_root apt-get -q update || true # stale lists may do
}

# Debian starts a service as soon as its package is installed. We want the program, not a broker on port
# 1883: policy-rc.d is the documented way to say so (invoke-rc.d(8)); one that is already there stays.
apt_install() {
    apt_update_once
    apt_policy=/usr/sbin/policy-rc.d
    apt_policy_ours=
    if [ ! -e "$apt_policy" ]; then
        apt_policy_ours=yes
        printf '#!/bin/sh\n# written by tools/common.sh for the time of one apt-get install\nexit 101\n' |
            as_root sh -c "cat >$apt_policy && chmod 755 $apt_policy"
    fi
    say "  installing $* (apt-get) ..."
    apt_status=0
    quietly "apt-get install $*" .tools/log/apt-install.log \
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$@" || apt_status=$?
    [ -z "$apt_policy_ours" ] || as_root rm -f "$apt_policy"
    return "$apt_status"
}

# Without root: fetch packages, and what they need that is not installed, and unpack them into $1.
# apt keeps its lists in a folder of ours, since the system's may be absent and are not ours to write.
apt_unpack() {
    unpack_into=$1
    shift
    unpack_work=$PWD/.tools/apt
    mkdir -p "$unpack_into" "$unpack_work/lists/partial" "$unpack_work/archives/partial" "$unpack_work/debs"
    set -- "$@" --
    unpack_apt="apt-get -q -o Dir::State::Lists=$unpack_work/lists -o Dir::Cache=$unpack_work -o Debug::NoLocking=1"
    unpack_names=
    for unpack_name in "$@"; do [ "$unpack_name" = -- ] || unpack_names="$unpack_names $unpack_name"; done
    say "  reading the package lists into .tools/apt (no root needed) ..."
    quietly "apt-get update" .tools/log/apt-update.log $unpack_apt update || return 1
    unpack_all=$($unpack_apt -s --no-install-recommends install $unpack_names 2>/dev/null | awk '/^Inst /{print $2}')
    [ -n "$unpack_all" ] || unpack_all=$unpack_names
    say "  unpacking$(printf ' %s' $unpack_all) into ${unpack_into#"$PWD"/} ..."
    (cd "$unpack_work/debs" && rm -f ./*.deb && quietly "apt-get download" ../../log/apt-download.log $unpack_apt download $unpack_all) || return 1
    for unpack_deb in "$unpack_work"/debs/*.deb; do dpkg -x "$unpack_deb" "$unpack_into" || return 1; done
    rm -rf "$unpack_work"
}
