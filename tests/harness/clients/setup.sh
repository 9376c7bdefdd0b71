#!/bin/sh
# Makes the virtual environment of the admin API's fuzzer; does nothing when it's up to date. Prints the interpreter's path.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
STREAMVAULT_VENV=${STREAMVAULT_VENV_ADMIN:-$HOME/.cache/streamvault/venv-admin} \
    exec "$here/../../telegram-sim/clients/setup.sh" "$here/requirements.txt"
