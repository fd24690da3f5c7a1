#!/bin/bash
# Installs what is needed, builds and runs every check; the last line totals all runners.
# Usage: scripts/test.sh [--preset NAME] [--peers] [--sanitizers] [--clang-tidy]
#   --preset NAME  release (default), debug, asan or tsan
#   --peers        also compares live with PyTorch, transformers, gguf and llama-cpp-python (PyPI)
#   --sanitizers   also builds with ASan+UBSan and runs all tests, and with TSan the threaded ones
#   --clang-tidy   also runs clang-tidy on the files it has not passed before
# shellcheck disable=SC2317  # the functions are called through phase
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$OUTSIZE_ROOT"

preset=release peers=no sanitizers=no clang_tidy=no
while [ $# -gt 0 ]; do
  case $1 in
    --preset) preset=${2:?"--preset needs a name"} && shift ;;
    --peers) peers=yes ;;
    --sanitizers) sanitizers=yes ;;
    --clang-tidy) clang_tidy=yes ;;
    *) die "unknown option '$1'; expected --preset, --peers, --sanitizers or --clang-tidy" ;;
  esac
  shift
done

TSAN_TESTS='^(core|storage|plan|exec|train|train_twin)$' # the parts that start threads
results=$OUTSIZE_ROOT/build/test-results
rm -rf "$results"
mkdir -p "$results"
failed=0

# run_ctest PRESET [CTEST OPTION...]: a runner that fails is noted, and the others still run.
run_ctest() {
  local name=$1
  shift
  ctest --test-dir "build/$name" --output-on-failure -j "$OUTSIZE_JOBS" --no-tests=error \
    --output-junit "$results/ctest-$name.xml" "$@" || failed=1
}

# build_or_note PRESET: a preset that does not build counts as one failure.
build_or_note() {
  scripts/build.sh "$@" && return
  failed=1
  python3 -B scripts/count_results.py --note-failure "build $1" "$results/build-$1.xml"
  return 1
}

test_preset() {
  local name=$1
  shift
  build_or_note "$name" || return 0
  run_ctest "$name" "$@"
}

test_peers() {
  local venv
  venv=$(scripts/venv.sh scripts/requirements-peers.txt)
  "$venv/bin/python" -m pytest tests/peers -q -p no:cacheprovider \
    -o tmp_path_retention_policy=failed -o tmp_path_retention_count=1 \
    --outsize "build/$preset/src/cli/outsize" --junit-xml "$results/peers.xml" || failed=1
  # A peer that crashes takes the runner's report along.
  [ -f "$results/peers.xml" ] ||
    python3 -B scripts/count_results.py --note-failure "parity with peers" "$results/peers.xml"
}

run_clang_tidy() {
  python3 -B tools/tidy/tidy.py --clang-tidy "build/$preset" || {
    failed=1
    python3 -B scripts/count_results.py --note-failure clang-tidy "$results/clang-tidy.xml"
  }
}

phase "packages" scripts/setup.sh test
phase "tests, $preset" test_preset "$preset"
[ $peers = no ] || phase "parity with peers" test_peers
[ $clang_tidy = no ] || phase "clang-tidy" run_clang_tidy
if [ $sanitizers = yes ]; then
  phase "tests, ASan and UBSan" test_preset asan -LE tidy
  phase "tests, TSan" test_preset tsan -R "$TSAN_TESTS"
fi

print_phases
python3 -B scripts/count_results.py "$results"/*.xml || failed=1
exit $failed
