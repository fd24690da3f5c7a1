#!/bin/bash
# Measures what docs/PERFORMANCE.md states, but for single programs it names, and prints the tables:
# several hours with the defaults, on a machine that does nothing else and has 75 GB of free disk.
# Usage: bench/run.sh [--rounds N] [--smoke] [--torch PYTHON] [--model GGUF]
#   --rounds N       rounds per table (default 5; 3 where state is on disk)
#   --smoke          a tiny size of everything, once, so that nothing rots: tests run this
#   --build FOLDER   default build/release
#   --torch PYTHON   a Python with torch, transformers, llama-cpp-python; default: installs them
#   --model GGUF     the model for generation; default: Gemma 3 270M, which the demo fetches
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"
cd "$OUTSIZE_ROOT"

rounds=5 smoke=no build=build/release python="" model=$OUTSIZE_CACHE/models/gemma-3-270m-q4_k_m.gguf
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=${2:?"--rounds needs a number"} && shift ;;
    --smoke) smoke=yes ;;
    --build) build=${2:?"--build needs a folder"} && shift ;;
    --torch) python=${2:?"--torch needs a path"} && shift ;;
    --model) model=${2:?"--model needs a path"} && shift ;;
    *) die "unknown option '$1'; expected --rounds, --smoke, --build, --torch or --model" ;;
  esac
  shift
done

outsize=$build/src/cli/outsize

if [ $smoke = yes ]; then
  # One small case of each micro-benchmark.
  for pair in optim:norm attention:gpt2_4x512_forward ops:copy matmul:8x768x3072/warm \
    executor:empty storage:checksums shared_lines:write_over tokenizer:spm; do
    echo "== bench_${pair%:*}"
    "$build/bench/bench_${pair%:*}" --benchmark_min_time=0.001 --benchmark_filter="${pair#*:}"
  done
  for script in steps properties stream planning generate generate_disk load floors; do
    echo "== bench/$script.py"
    python3 -B "bench/$script.py" --smoke --outsize "$outsize"
  done
  exit
fi
[ -n "$python" ] || python=$(scripts/venv.sh scripts/requirements-peers.txt)/bin/python
phase "training steps" python3 -B bench/steps.py --outsize "$outsize" --rounds "$rounds" \
  --torch "$python"
phase "properties" python3 -B bench/properties.py --outsize "$outsize" --rounds "$rounds"
phase "generation" python3 -B bench/generate.py "$model" --outsize "$outsize" \
  --rounds "$rounds" --llama "$python"
phase "generation from disk" python3 -B bench/generate_disk.py --outsize "$outsize" --rounds 3
phase "loading" python3 -B bench/load.py --outsize "$outsize" --rounds "$rounds"
phase "loading from disk" python3 -B bench/load.py --outsize "$outsize" --rounds "$rounds" --cold
phase "less memory than the state" python3 -B bench/stream.py --outsize "$outsize" --rounds 3
phase "costs of ops" python3 -B bench/op_costs.py --outsize "$outsize" --own
phase "planning" python3 -B bench/planning.py --outsize "$outsize"
phase "floors" python3 -B bench/floors.py --outsize "$outsize"
