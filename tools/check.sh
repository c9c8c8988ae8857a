#!/bin/sh
# Every check that starts no server, each with its time: check.sh. Goes on after a failure, to show them all at once.
set -u
cd "$(dirname "$0")/.."
bin=.venv/bin
failed=

check() { # name, command ...
    name=$1
    shift
    started=$(date +%s)
    if output=$("$@" 2>&1); then
        printf '%-14s ok      %3d s\n' "$name" $(($(date +%s) - started))
    else
        printf '%-14s FAILED  %3d s: %s\n%s\n' "$name" $(($(date +%s) - started)) "$*" "$output"
        failed="$failed $name"
    fi
}

check "ruff" $bin/python -m ruff check --no-fix .
check "ruff format" $bin/python -m ruff format --check .
check "mypy" $bin/python -m mypy
check "imports" $bin/lint-imports
check "generated" $bin/python -m tools.generate --check
check "house rules" $bin/python -m pytest tests/arch -p no:cacheprovider

[ -z "$failed" ] && exit 0
echo "check failed:$failed" >&2
exit 1
