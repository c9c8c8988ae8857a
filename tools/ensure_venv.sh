#!/bin/sh
# Makes .venv and installs this checkout into it, editable: ensure_venv.sh demo|dev
#
# Does nothing when .venv already holds the extra for this folder, this pyproject.toml and these constraints.
# PYTHON=... picks the interpreter; otherwise the first Python >= 3.11 found, 3.11 preferred: it is the one tested.
set -eu
cd "$(dirname "$0")/.."
. tools/common.sh
extra=${1:?usage: ensure_venv.sh demo|dev}
venv=.venv

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_new_enough "$PYTHON" && have "$PYTHON" && say "$PYTHON" && return 0
        complain "PYTHON=$PYTHON is not a Python 3.11 or newer."
        return 1
    fi
    for candidate in python3.11 /usr/bin/python3.11 python3 /usr/bin/python3 python3.12 python3.13 python3.14; do
        if have "$candidate" && is_new_enough "$candidate"; then
            say "$candidate"
            return 0
        fi
    done
    complain "lamppost needs Python 3.11 or newer, and found $(python3 --version 2>/dev/null || echo 'no python3')."
    complain "  Debian 12, Ubuntu 24.04:  sudo apt-get install python3 python3-venv"
    complain "  Ubuntu 22.04:             sudo apt-get install python3.11 python3.11-venv"
    complain "  or say which: make demo PYTHON=/path/to/python3.11"
    return 1
}

# Debian splits ensurepip off into python3-venv. Without it: install it; else take pip out of its wheel package
# without root; else let a system pip serve the new environment.
make_venv() {
    if "$1" -c 'import ensurepip, venv' 2>/dev/null && "$1" -m venv --clear "$venv"; then return 0; fi
    if is_debian; then
        version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        say "Python's venv module is incomplete here (Debian keeps it in python$version-venv)."
        if may_be_root && apt_install "python$version-venv" && "$1" -m venv --clear "$venv"; then return 0; fi
        if "$1" -m venv --without-pip --clear "$venv" && apt_unpack "$PWD/.tools/pip" python3-pip-whl; then
            for wheel in .tools/pip/usr/share/python-wheels/pip-*.whl; do
                "$venv/bin/python" "$wheel/pip" install -q --no-index "$wheel" && return 0
            done
        fi
    fi
    if "$1" -m pip --version >/dev/null 2>&1 && "$1" -m venv --without-pip --clear "$venv" &&
        "$1" -m pip --python "$venv/bin/python" install -q pip; then return 0; fi
    complain "Cannot make a virtual environment with $1: its ensurepip module is missing and there is no pip."
    complain "  Debian, Ubuntu:  sudo apt-get install python3-venv"
    return 1
}

# pip's own output goes to a log; a line for every tenth package shows that it is alive.
pip_install() {
    log=$venv/install.log
    # Bytecode is compiled while pip runs, so the first start of the demo does not pay for it.
    {
        "$venv/bin/python" -m pip --disable-pip-version-check install --no-input --prefer-binary --progress-bar off \
            -c constraints.txt -e ".[$extra]" 2>&1
        echo "pip-status $?"
    } | tee "$log" | awk '
        /^ *Collecting /          { if (++n % 10 == 0) { print "  " n " packages found ..."; fflush() } }
        /^Installing collected/   { print "  unpacking them ..."; fflush() }
        /^pip-status /            { status = $2 }
        END                       { exit status }'
}

stamp_text() { # what was installed where; a moved checkout or an edited pin makes it stale
    "$venv/bin/python" -c 'import sys; print(sys.version)' 2>/dev/null || return 1
    pwd -P
    cksum pyproject.toml constraints.txt
}

is_fresh() {
    [ -x "$venv/bin/lamppost" ] && wanted=$(stamp_text) || return 1
    for stamp in "$@"; do [ "$wanted" = "$(cat "$venv/.installed-$stamp" 2>/dev/null)" ] && return 0; done
    return 1
}

if [ "$extra" = dev ]; then is_fresh dev && exit 0; else is_fresh "$extra" dev && exit 0; fi

if ! is_new_enough "$venv/bin/python" || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    say "Making a virtual environment in $venv with $($python --version) ..."
    make_venv "$python"
fi
say "Installing lamppost[$extra] and what it needs (a minute or two the first time; log in $venv/install.log) ..."
if ! pip_install; then
    complain "pip could not install the packages. The end of $venv/install.log:"
    grep -v '^pip-status' "$venv/install.log" | tail -n 12 >&2
    exit 1
fi
stamp_text >"$venv/.installed-$extra"
