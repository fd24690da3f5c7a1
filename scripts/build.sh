#!/bin/bash
# Configures and builds with a CMake preset. Usage: scripts/build.sh [PRESET [TARGET...]]
# PRESET: release (default), debug, asan, tsan. OUTSIZE_JOBS sets how many compilers run at once.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

preset=${1:-release}
shift || true
cd "$OUTSIZE_ROOT"
cmake --preset "$preset" >&2
targets=()
[ $# -gt 0 ] && targets=(--target "$@")
cmake --build --preset "$preset" -j "$OUTSIZE_JOBS" "${targets[@]}" >&2
