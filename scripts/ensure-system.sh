#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: ensure-system.sh demo|test
# Makes sure that the programs which no Python package brings are there. What is missing is installed with apt where
# the user may; otherwise it is named in one line, with the command to type, before anything else starts.
# The last line printed on standard output is the Python to use.
set -euo pipefail

level=${1:-demo}
case $level in
    demo | test) ;;
    *) echo "usage: ensure-system.sh demo|test, not '$level'" >&2; exit 2 ;;
esac

# The first Python that is new enough. Prints nothing if there is none.
find_python() {
    local name
    for name in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
}

# The simulator loads Python as a shared library, which Debian packs apart from the program.
has_libpython() {
    "$1" - <<'PY' 2>/dev/null
import ctypes, pathlib, sysconfig
name = sysconfig.get_config_var("INSTSONAME") or ""
beside = pathlib.Path(sysconfig.get_config_var("LIBDIR") or "") / name
ctypes.CDLL(str(beside) if beside.is_file() else name)
PY
}

# Names of the apt packages that are missing.
missing() {
    local python minor
    python=$(find_python)
    if [ -z "$python" ]; then
        echo "$1" python3-venv
    else
        minor=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
        "$python" -c 'import ensurepip, venv' 2>/dev/null || echo "$minor-venv"
        has_libpython "$python" || echo "lib$minor"
    fi
    # command -v finds a version manager's shim of a program that is not there, so each is run.
    g++ --version >/dev/null 2>&1 || echo g++
    make --version >/dev/null 2>&1 || echo make
    perl -e 1 >/dev/null 2>&1 || echo perl
    if [ "$level" = test ]; then
        command -v iverilog >/dev/null && command -v vvp >/dev/null || echo iverilog
    fi
}

# A distribution's newest python3.N, where its python3 is older than 3.11.
newest_python() {
    local name
    for name in python3.14 python3.13 python3.12 python3.11; do
        if apt-cache show "$name-venv" >/dev/null 2>&1; then
            echo "$name $name-venv lib$name"
            return
        fi
    done
    echo python3
}

# Installing a Python may show that its shared library is still missing, so there are two rounds.
for round in 1 2 3; do
    wanted=$(missing python3 | tr '\n' ' ')
    [ -n "$wanted" ] || break
    sudo=
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    by_hand="missing: ${wanted}(type: ${sudo:+sudo }apt-get update && ${sudo:+sudo }apt-get install -y ${wanted% })"
    if ! command -v apt-get >/dev/null; then
        echo "nicsec: missing: ${wanted}(names as in Debian; install them with this system's package manager)" >&2
        exit 1
    fi
    if [ "$round" -eq 3 ] || { [ -n "$sudo" ] && ! sudo -n true 2>/dev/null; }; then
        echo "nicsec: $by_hand" >&2
        exit 1
    fi
    echo "nicsec: installing ${wanted}with apt" >&2
    apt() { $sudo env DEBIAN_FRONTEND=noninteractive apt-get "$@" >&2; }
    apt update -q || echo "nicsec: apt-get update failed; trying with the lists at hand" >&2
    case $wanted in
        python3\ *) wanted="$(newest_python) $wanted" ;;
    esac
    # Each word is a package.
    # shellcheck disable=SC2086
    if ! apt install -y -q --no-install-recommends $wanted; then
        echo "nicsec: apt failed; $by_hand" >&2
        exit 1
    fi
done
find_python
