#!/usr/bin/env bash
# Prepares the checkout: a virtual environment of its own, the package with its native part and, for the tests
# ("setup.sh test"), the programs we prove ourselves against. Debian packages are installed only when root.
# "setup.sh vm" brings in what the tests with a virtual machine boot; without it they skip and say why.
set -euo pipefail
cd "$(dirname "$0")/.."
want=${1:-run}
venv=.venv
stamp=$venv/.ready-$want

say() { printf '%s\n' "$*" >&2; }

apt_install() { # apt_install WHY PACKAGE...
    local why=$1; shift
    local missing=()
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        say "setup: not installed ($why): ${missing[*]}; as root: apt-get install ${missing[*]}"
        return 1
    fi
    say "setup: installing ${missing[*]} ($why)"
    [ -n "${apt_updated:-}" ] || { apt-get -qq update && apt_updated=1; }
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
}

if [ "$want" = vm ]; then
    apt_install "Debian's kernels and QEMU for the tests" debian-archive-keyring || true
    "$venv/bin/python" -m tests.vm.fetch || say "setup: the tests with a virtual machine will say so"
    exit 0
fi

newest_input() { find pyproject.toml setup.py tools/setup.sh appliance/*/native -newer "$stamp" -print -quit 2>/dev/null; }
if [ -e "$stamp" ] && [ -z "$(newest_input)" ]; then exit 0; fi

python=${PYTHON:-python3}
command -v "$python" >/dev/null || { say "setup: no $python: install Python 3.11 or newer"; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    say "setup: $("$python" --version) is too old: Python 3.11 or newer is needed (PYTHON=... chooses another)"; exit 1; }
if [ "$(command -v "$python")" = /usr/bin/python3 ]; then
    "$python" -c 'import ensurepip' 2>/dev/null || apt_install "virtual environments" python3-venv
    "$python" - <<'P' || apt_install "building the native part" python3-dev
import pathlib, sys, sysconfig
sys.exit(not pathlib.Path(sysconfig.get_paths()["include"], "Python.h").exists())
P
fi
command -v gcc >/dev/null || apt_install "building the native part" gcc libc6-dev || exit 1

[ -x $venv/bin/python ] || "$python" -m venv $venv
pip="$venv/bin/python -m pip --quiet --disable-pip-version-check"
extra=""
if [ "$want" = test ]; then
    extra="[dev]"
    apt_install "peers of the tests" linuxptp tshark iproute2 ethtool gpsd gpsd-clients lrzsz || true
fi
say "setup: installing the product into $venv"
$pip install --editable ".$extra"
touch "$stamp"
