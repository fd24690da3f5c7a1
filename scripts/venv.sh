#!/bin/bash
# Prints the path of a Python virtual environment that holds exactly a requirements file, making it
# if it is not there yet. Usage: scripts/venv.sh scripts/requirements-NAME.txt
# Environments are kept in OUTSIZE_CACHE, named by the hash of the file and the Python version. One
# counts only once its marker is written, last of all: an install that was killed is never used.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [ $# -ne 1 ] || [ ! -f "$1" ]; then
  die "usage: venv.sh REQUIREMENTS"
fi
requirements=$1
version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
hash=$({ echo "python $version"; cat "$requirements"; } | sha256sum | cut -c1-16)
venv=$OUTSIZE_CACHE/venv-$hash

mkdir -p "$OUTSIZE_CACHE"
exec 9>"$venv.lock"
flock 9 # a second caller waits for the first one's install
if [ ! -f "$venv/complete" ]; then
  say "venv: installing $(basename "$requirements") into $venv"
  rm -rf "$venv"
  python3 -m venv "$venv" >&2
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements" >&2
  touch "$venv/complete"
fi
echo "$venv"
