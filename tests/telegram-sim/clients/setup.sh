#!/bin/sh
# Makes the virtual environment that the client checks run in; does nothing when it's up to date.
# usage: setup.sh [REQUIREMENTS]; those beside this script if not given.
# Where: $STREAMVAULT_VENV, or ~/.cache/streamvault/venv-telegram. Prints the interpreter's path.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
requirements=${1:-$here/requirements.txt}
venv=${STREAMVAULT_VENV:-$HOME/.cache/streamvault/venv-telegram}
stamp=$venv/.requirements

if [ -x "$venv/bin/python" ] && cmp -s "$requirements" "$stamp"; then
    echo "$venv/bin/python"
    exit 0
fi

python=${PYTHON:-python3}
command -v "$python" >/dev/null 2>&1 || {
    echo "setup.sh: python3 is missing; install it with: apt-get install python3 python3-venv" >&2
    exit 1
}
mkdir -p "$(dirname "$venv")"
# Two runs at once would trip over each other's half-made environment.
exec 9>"$venv.lock"
if command -v flock >/dev/null 2>&1; then flock 9; fi
if [ -x "$venv/bin/python" ] && cmp -s "$requirements" "$stamp"; then
    echo "$venv/bin/python"
    exit 0
fi
"$python" -m venv --clear "$venv" >&2 || {
    echo "setup.sh: can't make a virtual environment; install the module with: apt-get install python3-venv" >&2
    exit 1
}
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements" >&2 || {
    echo "setup.sh: pip can't install $requirements; is PyPI reachable?" >&2
    exit 1
}
cp "$requirements" "$stamp"
echo "$venv/bin/python"
