#!/bin/bash
# Measures everything docs/PERFORMANCE.md states and prints its tables; about an hour, on a machine
# that does nothing else. Usage: bench/run.sh [--rounds N] [--smoke] [--torch PYTHON] [--model GGUF]
#   --rounds N       rounds per table (default 5)
#   --smoke          a tiny size of everything, once, so that nothing rots: tests run this
#   --torch PYTHON   a Python with torch, transformers, llama-cpp-python; default: installs them
#   --model GGUF     the model for generation; default: Gemma 3 270M, which the demo fetches
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"
cd "$OUTSIZE_ROOT"

rounds=5 smoke=no python="" model=$OUTSIZE_CACHE/models/gemma-3-270m-q4_k_m.gguf
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=${2:?"--rounds needs a number"} && shift ;;
    --smoke) smoke=yes ;;
    --torch) python=${2:?"--torch needs a path"} && shift ;;
    --model) model=${2:?"--model needs a path"} && shift ;;
    *) die "unknown option '$1'; expected --rounds, --smoke, --torch or --model" ;;
  esac
  shift
done

if [ $smoke = yes ]; then
  # One small case of each micro-benchmark.
  for pair in optim:norm attention:gpt2_forward ops:copy executor:empty; do
    build/release/bench/bench_${pair%:*} --benchmark_min_time=0.001 --benchmark_filter="${pair#*:}"
  done
  python3 -B bench/steps.py --smoke
  python3 -B bench/properties.py --smoke
  exit
fi
[ -n "$python" ] || python=$(scripts/venv.sh scripts/requirements-peers.txt)/bin/python
phase "training steps" python3 -B bench/steps.py --rounds "$rounds" --torch "$python"
phase "properties" python3 -B bench/properties.py --rounds "$rounds"
phase "generation" python3 -B bench/generate.py "$model" --rounds "$rounds" --llama "$python"
