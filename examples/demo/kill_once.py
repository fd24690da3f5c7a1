#!/usr/bin/env python3
"""Runs a training and kills it with SIGKILL, which no program can prepare for, as soon as its
metrics have so many steps: `kill_once.py --steps N METRICS COMMAND...`. Fails when the training
ends before."""

import argparse
import pathlib
import signal
import subprocess
import sys
import time

POLL_SECONDS = 0.05


def steps_of(metrics):
    """Finished steps; a line that is being written counts, one of a validation does not."""
    return metrics.read_text(encoding="utf-8").count('"loss"') if metrics.exists() else 0


def kill_at(steps, metrics, command):
    """The step after which it was killed."""
    with subprocess.Popen(command) as process:
        try:
            while process.poll() is None and steps_of(metrics) < steps:
                time.sleep(POLL_SECONDS)
        finally:
            process.kill()
    if process.returncode != -signal.SIGKILL:
        sys.exit(f"[kill_once] the training ended with status {process.returncode} after "
                 f"{steps_of(metrics)} steps; expected it to be killed after {steps}")
    return steps_of(metrics)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("metrics", type=pathlib.Path)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    step = kill_at(options.steps, options.metrics, options.command)
    print(f"killed with SIGKILL after step {step}", flush=True)


if __name__ == "__main__":
    main()
