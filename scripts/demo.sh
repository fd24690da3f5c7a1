#!/bin/bash
# The main job from a bare Debian 12 to an answer: installs, builds, gets the real Gemma 3 270M,
# makes a data set from Debian's package index, shows the plan, fine-tunes, and prints what changed.
# Usage: scripts/demo.sh [--rows N] [--test-rows N] [--memory SIZE] [--work DIR] [--outsize PROGRAM]
#   --rows N           training rows (default 6400; all there are is about 60000)
#   --test-rows N      held-out rows for loss and accuracy (default 400)
#   --memory SIZE      train within SIZE (such as 2GiB) and the disk, killed once on the way; at the
#                      end an unbroken run in RAM shows that no bit differs (640 rows: minutes)
#   --work DIR         where data, run and results go (default runs/demo)
#   --outsize PROGRAM  a built program: nothing is installed or built
# What a stage left behind is not made again: an interrupted demo goes on where it was.
# shellcheck disable=SC2317  # the functions are called through phase
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

rows=6400 test_rows=400 work=$OUTSIZE_ROOT/runs/demo program="" memory=""
while [ $# -gt 0 ]; do
  case $1 in
    --rows) rows=${2:?"--rows needs a number"} && shift ;;
    --test-rows) test_rows=${2:?"--test-rows needs a number"} && shift ;;
    --memory) memory=${2:?"--memory needs a size"} && shift ;;
    --work) work=${2:?"--work needs a folder"} && shift ;;
    --outsize) program=${2:?"--outsize needs a path"} && shift ;;
    *) die "unknown option '$1'; expected --rows, --test-rows, --memory, --work or --outsize" ;;
  esac
  shift
done
[[ $rows =~ ^[1-9][0-9]*$ && $test_rows =~ ^[1-9][0-9]*$ ]] || die "rows are whole numbers above 0"

mkdir -p "$work"
# Other sizes are other experiments.
work=$(cd "$work" && pwd)/rows-$rows-$test_rows${memory:+-$memory}
mkdir -p "$work"
demo=$OUTSIZE_ROOT/examples/demo
model=$OUTSIZE_CACHE/models/gemma-3-270m-q4_k_m.gguf
data=$work/data
settings=(--set "model=$model" --set "data.train=$data/train.jsonl"
  --set "data.validation=$data/valid.jsonl" ${memory:+--set "machine=$work/machine.json"})
within=(--set "run=$work/run" ${memory:+--set "budget.memory=$memory"})
in_ram=(--set "run=$work/${memory:+unbroken-}run") # without --memory it is the run

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
  [ -z "$memory" ] || kill_once
  "$program" train "$demo/demo.yaml" "${settings[@]}" "${within[@]}"
  touch "$work/trained"
}

# kill_once: the training up to a third of its steps (19 rows make one), and what is left of it.
kill_once() {
  [ -e "$work/killed" ] && return
  "$python" -B "$demo/kill_once.py" --steps $((rows / 57 + 1)) "$work/run/metrics.jsonl" \
    "$program" train "$demo/demo.yaml" "${settings[@]}" "${within[@]}"
  touch "$work/killed"
  "$program" doctor "$work/run"
}

plan_within() {
  "$program" plan "$demo/demo.yaml" "${settings[@]}" "${within[@]}" | tee "$work/plan.txt"
  ! grep -q "^plan  *all in RAM" "$work/plan.txt" ||
    die "nothing would go to disk within $memory, which holds the whole run; try less"
}

# same_bits: the run beside one that has all the memory and is not killed.
same_bits() {
  [ -e "$work/unbroken-weights" ] ||
    "$program" train "$demo/demo.yaml" "${settings[@]}" "${in_ram[@]}"
  export_as "$work/run" hf "$work/weights" --dtype f32
  export_as "$work/unbroken-run" hf "$work/unbroken-weights" --dtype f32
  "$python" -B "$demo/report.py" same "$work"
}

classify() {
  once "$work/classifier.json" "$python" -B "$demo/baseline.py" --train "$data/train.jsonl" \
    --test "$data/test.jsonl"
  cat "$work/classifier.json"
}

# export_as RUN FORMAT PATH [OPTION...]
export_as() {
  local run=$1 format=$2 path=$3
  shift 3
  [ -e "$path" ] || "$program" export "$run" --format "$format" --out "$path" "$@"
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
[ -z "$memory" ] || [ -s "$work/machine.json" ] ||
  phase "this computer's rates" "$program" profile --disk "$work" --out "$work/machine.json"
phase "plan" "$program" plan "$demo/demo.yaml" "${settings[@]}" "${in_ram[@]}"
[ -z "$memory" ] || phase "plan within $memory" plan_within
phase "before: held-out loss and accuracy" measure before "$model"
phase "fine-tuning" train
phase "after: held-out loss and accuracy" measure after "$work/run"
phase "the linear classifier on the same rows" classify
phase "loss curve" "$python" -B "$demo/plot.py" "$work/run/metrics.jsonl" "$work/loss.png" \
  --title "Gemma 3 270M on $rows Debian packages"
phase "export to Hugging Face" export_as "$work/run" hf "$work/hf"
phase "export to GGUF" export_as "$work/run" gguf "$work/gemma-3-270m-debian.gguf" \
  --dtype q8_0
phase "held-out packages, before and after" "$python" -B "$demo/report.py" answers "$work"
phase "result" "$python" -B "$demo/report.py" table "$work"
[ -z "$memory" ] || phase "the same run, unbroken and in RAM" same_bits
print_phases
say ""
say "results in $work: loss.png, summary.json, hf/, gemma-3-270m-debian.gguf, run/"
