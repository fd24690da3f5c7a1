#!/bin/bash
# Installs the Debian packages of scripts/packages.txt that are missing. Works as root or with sudo;
# touches apt only when something is missing.
# Usage: scripts/setup.sh [build|test]   build: what builds and runs; test (default): checks as well
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

group=${1:-test}
case $group in
  build) wanted=$(awk '!/^#/ && $2 == "build" {print $1}' "$OUTSIZE_ROOT/scripts/packages.txt") ;;
  test) wanted=$(awk '!/^#/ && NF {print $1}' "$OUTSIZE_ROOT/scripts/packages.txt") ;;
  *) die "unknown group '$group'; expected build or test" ;;
esac
command -v dpkg-query >/dev/null || die "no dpkg here; this script knows Debian and its kin only"

missing=()
for package in $wanted; do
  state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  say "setup: all packages are there"
  exit 0
fi
say "setup: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
as_root apt-get update -qq
as_root env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
