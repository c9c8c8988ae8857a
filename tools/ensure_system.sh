#!/bin/sh
# Makes programs that pip cannot bring available:
#   ensure_system.sh [--optional] mosquitto|postgresql|chromium|softhsm2|fat|openssh ...
#
# What is there is used. What is missing is installed with apt-get where we may; Mosquitto, which nothing works
# without, is else unpacked from its Debian package into .tools/ without root. Elsewhere it says what to install.
# With --optional a missing program is said, and the exit status is 0: tests that need it skip with a reason.
set -eu
cd "$(dirname "$0")/.."
. tools/common.sh

find_postgresql() { # server programs are not on PATH in Debian
    have initdb && have postgres && return 0
    for bin in /usr/lib/postgresql/*/bin; do [ -x "$bin/initdb" ] && return 0; done
    return 1
}
find_chromium() { have chromium-headless-shell || have chromium || have chromium-browser || have google-chrome; }

# A wrapper, so that the unpacked broker finds the libraries unpacked beside it.
wrap_mosquitto() {
    libraries=$(find "$PWD/.tools/mosquitto" -name '*.so*' -exec dirname {} \; | sort -u | paste -s -d :)
    mkdir -p .tools/bin
    cat >.tools/bin/mosquitto <<WRAPPER
#!/bin/sh
# written by tools/ensure_system.sh
LD_LIBRARY_PATH="$libraries\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
export LD_LIBRARY_PATH
exec "$PWD/.tools/mosquitto/usr/sbin/mosquitto" "\$@"
WRAPPER
    chmod 755 .tools/bin/mosquitto
}

runs_mosquitto() { # -h answers and exits 3; a missing library exits 127
    mosquitto -h 2>/dev/null | grep -q '^mosquitto version 2'
}

by_hand() {
    complain "lamppost needs $1, and cannot install it here: $2"
    complain "  Debian, Ubuntu:  sudo apt-get install $3"
    complain "  Fedora:          sudo dnf install $4"
    complain "  Arch:            sudo pacman -S $5"
    complain "  macOS:           brew install $6"
}

ensure_mosquitto() {
    runs_mosquitto && return 0
    why="this is no Debian or Ubuntu (no apt-get)"
    if is_debian; then
        say "Mosquitto, the MQTT broker, is missing."
        why="apt-get could not (see .tools/log/)"
        if may_be_root && apt_install mosquitto && runs_mosquitto; then
            stop_service mosquitto
            return 0
        fi
        if apt_unpack "$PWD/.tools/mosquitto" mosquitto && wrap_mosquitto && runs_mosquitto; then return 0; fi
    fi
    by_hand "Mosquitto 2 (the MQTT broker)" "$why" mosquitto mosquitto mosquitto mosquitto
    return 1
}

ensure_postgresql() {
    find_postgresql && return 0
    why="this is no Debian or Ubuntu (no apt-get)"
    if is_debian; then
        say "PostgreSQL's server programs are missing (the tests also run on the distribution's own version)."
        why="it takes root, and this account has no sudo without a password"
        if may_be_root; then
            why="apt-get could not (see .tools/log/)"
            apt_install postgresql && find_postgresql && stop_service postgresql && return 0
        fi
    fi
    by_hand "PostgreSQL (server programs)" "$why" postgresql postgresql-server postgresql postgresql
    return 1
}

# Chromium without windows starts in half the time; Debian has it as a package of its own, others do not.
ensure_chromium() {
    have chromium-headless-shell && return 0
    if is_debian && may_be_root; then
        find_chromium || say "Chromium is missing (tests drive the pages in it)."
        apt_update_once
        for package in chromium-headless-shell chromium; do
            find_chromium && [ "$package" = chromium ] && return 0
            apt-cache show "$package" >/dev/null 2>&1 || continue
            apt_install "$package" && find_chromium && return 0
        done
    fi
    find_chromium && return 0
    why="this is no Debian or Ubuntu (no apt-get)"
    if is_debian; then
        why="it takes root, and this account has no sudo without a password"
        may_be_root && why="apt-get could not (see .tools/log/); Ubuntu ships it as a snap: sudo snap install chromium"
    fi
    by_hand "Chromium" "$why" chromium chromium chromium chromium
    return 1
}

# What only tests need, and apt-get brings in one step. $1: what finds it; $2: what the tests do with it; then
# what it is called in words and in Debian, Fedora, Arch and Homebrew.
ensure_for_tests() {
    "$1" && return 0
    why="this is no Debian or Ubuntu (no apt-get)"
    if is_debian; then
        say "$3 is missing ($2)."
        why="it takes root, and this account has no sudo without a password"
        if may_be_root; then
            why="apt-get could not (see .tools/log/)"
            apt_install $4 && "$1" && return 0
        fi
    fi
    by_hand "$3" "$why" "$4" "$5" "$6" "$7"
    return 1
}

find_softhsm2() { have softhsm2-util; }
ensure_softhsm2() {
    ensure_for_tests find_softhsm2 "tests keep a root's key in a token of its" "SoftHSM 2" softhsm2 softhsm softhsm softhsm
}

find_fat() { have mkfs.vfat && have mcopy; }
ensure_fat() {
    ensure_for_tests find_fat "tests write to a card" "dosfstools or mtools" "dosfstools mtools" "dosfstools mtools" \
        "dosfstools mtools" "dosfstools mtools"
}

find_openssh() { have ssh && { have sshd || [ -x /usr/sbin/sshd ]; }; }
ensure_openssh() {
    find_openssh && return 0
    ensure_for_tests find_openssh "tests bring a bundle over a real line" "OpenSSH" "openssh-server openssh-client" \
        openssh-server openssh openssh && stop_service ssh
}

# Where systemd runs, a package just installed is enabled for the next boot; lamppost starts its own.
stop_service() {
    [ -d /run/systemd/system ] || return 0
    as_root systemctl disable --now "$1" >/dev/null 2>&1 || true
}

optional=
status=0
for need in "$@"; do
    case $need in
    --optional) optional=yes ;;
    mosquitto | postgresql | chromium | softhsm2 | fat | openssh)
        if ! "ensure_$need"; then
            if [ -n "$optional" ]; then say "  the tests that need it will skip, and say so."; else status=1; fi
        fi
        ;;
    *)
        complain "ensure_system.sh: unknown program $need"
        exit 2
        ;;
    esac
done
exit "$status"
