#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: setup.sh demo|test
# Makes .venv with every dependency at its pinned version and the nicsec command, once: a second run is instant.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$(scripts/ensure-system.sh "${1:-demo}" | tail -n 1)

# A virtual environment holds absolute paths, so one that was moved or whose Python is gone is made anew.
key=$({ cat pyproject.toml constraints.txt; pwd; "$python" -c 'import sys; print(sys.version)'; } | cksum)
stamp=.venv/.nicsec-setup
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$key" ] && [ -x .venv/bin/nicsec ] && .venv/bin/python -c '' 2>/dev/null; then
    exit 0
fi

echo "nicsec: making .venv (a few minutes the first time)" >&2
rm -f "$stamp"
if ! .venv/bin/python -m pip --version 2>/dev/null | grep -qF "$PWD/.venv/" ||
    [ "$(.venv/bin/python -V)" != "$("$python" -V)" ]; then
    rm -rf .venv
    "$python" -m venv .venv
fi
# The build back end is pinned like the rest, which pip's isolated builds would not do.
install() { .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "$@"; }
install hatchling editables
install --no-build-isolation --editable '.[synth,test,report]'
echo "$key" > "$stamp"
