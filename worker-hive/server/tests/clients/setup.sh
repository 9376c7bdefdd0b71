#!/bin/sh
# Installs Pyrogram and Pyrofork beside the simulator's virtual environment; does nothing when they are there. They and Kurigram
# have one module name, so each has a folder of its own. Prints three lines: the interpreter, Pyrogram's folder, Pyrofork's folder.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
python=$("$here/../../../../tests/telegram-sim/clients/setup.sh")
forks=${STREAMVAULT_VENV:-$HOME/.cache/streamvault/venv-telegram}-forks

install() {
    folder=$forks/$1
    shift
    if [ "$(cat "$folder/.requirements" 2>/dev/null)" = "$*" ]; then return; fi
    rm -rf "$folder"
    # Without what they depend on, but for what is named: the rest is in the environment.
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$folder" "$@" >&2 || {
        echo "setup.sh: pip can't install $*; is PyPI reachable?" >&2
        exit 1
    }
    echo "$*" >"$folder/.requirements"
}

mkdir -p "$forks"
# Two runs at once would trip over each other's half-made folders.
exec 9>"$forks.lock"
if command -v flock >/dev/null 2>&1; then flock 9; fi
install pyrogram Pyrogram==2.0.106 PySocks==1.7.1
install pyrofork pyrofork==2.3.69 PySocks==1.7.1 pymediainfo-pyrofork==6.0.1
echo "$python"
echo "$forks/pyrogram"
echo "$forks/pyrofork"
