#!/bin/sh
# Makes .venv from requirements-dev.txt, hashes enforced. Run by make when that file is newer than the environment.
set -eu

PYTHON=${PYTHON:-python3}

fail() {
    echo "error: $1" >&2
    exit 1
}

debian_root() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1
}

apt_install() {
    echo "installing $* (apt-get)" >&2
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

# What installs Python here, in this system's words; lab/packages.py has all the others.
how() {
    for words in 'apt-get install python3 python3-venv' 'dnf install python3' 'pacman -S python' 'apk add python3' \
        'zypper install python311' 'brew install python'; do
        if command -v "${words%% *}" >/dev/null 2>&1; then
            echo "$words"
            return
        fi
    done
    echo "your system's package of it"
}

if ! command -v "$PYTHON" >/dev/null 2>&1; then
    debian_root || fail "$PYTHON is missing. Install Python 3.11 or newer: $(how)"
    apt_install python3 python3-venv
fi

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$PYTHON" --version) is too old: Python 3.11 or newer is needed. Name another one: make PYTHON=python3.12 ..."

if ! "$PYTHON" -c 'import venv, ensurepip' 2>/dev/null; then
    debian_root || fail "Python's venv module is missing. Install it: $(how)"
    apt_install python3-venv
fi

# A half-made environment has an interpreter and no pip.
if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    rm -rf .venv
    "$PYTHON" -m venv .venv
fi

echo "installing the Python packages into .venv" >&2
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r requirements-dev.txt
touch .venv/.installed
