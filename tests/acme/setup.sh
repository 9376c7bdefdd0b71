#!/bin/sh
# Makes the virtual environment that the ACME server of the tests runs in; does nothing when it's up to date. Prints the interpreter's path.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
STREAMVAULT_VENV=${STREAMVAULT_ACME_VENV:-$HOME/.cache/streamvault/venv-acme} \
    exec "$here/../telegram-sim/clients/setup.sh" "$here/requirements.txt"
