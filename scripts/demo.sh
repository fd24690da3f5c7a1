#!/bin/bash
# The main job from a bare Debian 12 to an answer: installs, builds, gets the real Gemma 3 270M,
# makes a data set from Debian's package index, shows the plan, fine-tunes, and prints what changed.
# Usage: scripts/demo.sh [--rows N] [--test-rows N] [--work DIR] [--outsize PROGRAM]
#   --rows N           training rows (default 6400; all there are is about 60000)
#   --test-rows N      held-out rows for loss and accuracy (default 400)
#   --work DIR         where data, run and results go (default runs/demo)
#   --outsize PROGRAM  a built program: nothing is installed or built
# What a stage left behind is not made again: an interrupted demo goes on where it was.
# shellcheck disable=SC2317  # the functions are called through phase
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

rows=6400 test_rows=400 work=$OUTSIZE_ROOT/runs/demo program=""
while [ $# -gt 0 ]; do
  case $1 in
    --rows) rows=${2:?"--rows needs a number"} && shift ;;
    --test-rows) test_rows=${2:?"--test-rows needs a number"} && shift ;;
    --work) work=${2:?"--work needs a folder"} && shift ;;
    --outsize) program=${2:?"--outsize needs a path"} && shift ;;
    *) die "unknown option '$1'; expected --rows, --test-rows, --work or --outsize" ;;
  esac
  shift
done
[[ $rows =~ ^[1-9][0-9]*$ && $test_rows =~ ^[1-9][0-9]*$ ]] || die "rows are whole numbers above 0"

mkdir -p "$work"
work=$(cd "$work" && pwd)/rows-$rows-$test_rows # other sizes are other experiments
mkdir -p "$work"
demo=$OUTSIZE_ROOT/examples/demo
model=$OUTSIZE_CACHE/models/gemma-3-270m-q4_k_m.gguf
data=$work/data
settings=(--set "model=$model" --set "data.train=$data/train.jsonl"
  --set "data.validation=$data/valid.jsonl" --set "run=$work/run")

# once FILE COMMAND...: the command's output becomes FILE, unless FILE is there already.
once() {
  local file=$1
  shift
  [ -s "$file" ] && return
  "$@" >"$file.part"
  mv "$file.part" "$file"
}

build() {
  "$OUTSIZE_ROOT/scripts/setup.sh" build
  "$OUTSIZE_ROOT/scripts/build.sh" release outsize
}

make_venv() {
  local scripts=$OUTSIZE_ROOT/scripts
  python=$("$scripts/venv.sh" "$scripts/requirements-demo.txt")/bin/python
}

make_data() {
  if [ -s "$data/counts.txt" ]; then
    return
  fi
  # Fresh images come without package lists.
  compgen -G "/var/lib/apt/lists/*_Packages*" >/dev/null || as_root apt-get update -qq
  mkdir -p "$data"
  once "$data/counts.txt" "$python" -B "$demo/make_dataset.py" --out "$data" --rows "$rows" \
    --test-rows "$test_rows"
}

# measure STAGE MODEL: loss and accuracy on the held-out rows.
measure() {
  once "$work/loss-$1.json" "$program" eval "$2" --data "$data/test.jsonl" --dtype bf16 --json
  once "$work/accuracy-$1.json" "$python" -B "$demo/evaluate.py" --outsize "$program" \
    --model "$2" --data "$data/test.jsonl" --answers "$work/answers-$1.jsonl"
  cat "$work/loss-$1.json" "$work/accuracy-$1.json"
}

train() {
  [ -e "$work/trained" ] && return
  "$program" train "$demo/demo.yaml" "${settings[@]}"
  touch "$work/trained"
}

classify() {
  once "$work/classifier.json" "$python" -B "$demo/baseline.py" --train "$data/train.jsonl" \
    --test "$data/test.jsonl"
  cat "$work/classifier.json"
}

# export_as FORMAT PATH [OPTION...]
export_as() {
  local format=$1 path=$2
  shift 2
  [ -e "$path" ] || "$program" export "$work/run" --format "$format" --out "$path" "$@"
}

if [ -z "$program" ]; then
  phase "install and build" build
  program=$OUTSIZE_ROOT/build/release/src/cli/outsize
fi
[ -x "$program" ] || die "$program is no program"
program=$(realpath "$program")

phase "Python environment" make_venv
phase "Gemma 3 270M" "$python" -B "$demo/get_gemma.py" "$model"
phase "data set" make_data
tail -n 1 "$data/counts.txt"
phase "plan" "$program" plan "$demo/demo.yaml" "${settings[@]}"
phase "before: held-out loss and accuracy" measure before "$model"
phase "fine-tuning" train
phase "after: held-out loss and accuracy" measure after "$work/run"
phase "the linear classifier on the same rows" classify
phase "loss curve" "$python" -B "$demo/plot.py" "$work/run/metrics.jsonl" "$work/loss.png" \
  --title "Gemma 3 270M on $rows Debian packages"
phase "export to Hugging Face" export_as hf "$work/hf"
phase "export to GGUF" export_as gguf "$work/gemma-3-270m-debian.gguf" --dtype q8_0
phase "held-out packages, before and after" "$python" -B "$demo/report.py" answers "$work"
phase "result" "$python" -B "$demo/report.py" table "$work"
print_phases
say ""
say "results in $work: loss.png, summary.json, hf/, gemma-3-270m-debian.gguf, run/"
