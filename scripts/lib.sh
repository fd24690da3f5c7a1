# Shared by the scripts: repository root, cache folder, messages, timed phases. Source it; it sets
# strict mode for the script that does.
# shellcheck shell=bash
set -euo pipefail

OUTSIZE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
OUTSIZE_CACHE=${OUTSIZE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outsize}
OUTSIZE_JOBS=${OUTSIZE_JOBS:-$(nproc)}
export OUTSIZE_ROOT OUTSIZE_CACHE OUTSIZE_JOBS

# A checkout elsewhere compiles the same files: with paths relative to it the compiler cache hits.
export CCACHE_BASEDIR=${CCACHE_BASEDIR:-$OUTSIZE_ROOT} CCACHE_NOHASHDIR=1
export CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-10G}

say() { printf '%s\n' "$*" >&2; }

die() {
  say "$(basename "$0"): $*"
  exit 1
}

# as_root COMMAND...: runs it as root, with sudo only where that is needed.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "'$*' needs root; run as root or install sudo"
  fi
}

# phase NAME COMMAND...: runs the command and notes its wall time for print_phases.
PHASE_NAMES=()
PHASE_SECONDS=()
phase() {
  local name=$1 start=$SECONDS
  shift
  say ""
  say "== $name"
  "$@"
  PHASE_NAMES+=("$name")
  PHASE_SECONDS+=($((SECONDS - start)))
}

print_phases() {
  local i
  say ""
  for i in "${!PHASE_NAMES[@]}"; do
    printf '%6d s  %s\n' "${PHASE_SECONDS[$i]}" "${PHASE_NAMES[$i]}" >&2
  done
}
