#!/usr/bin/env bash
# Needs an idle machine
source "$(dirname "$0")/../common.sh"
"$PYTHON" experiments/update_time/measure.py
"$PYTHON" -m guided_seg.benchmark output_dir=experiments/update_time/benchmark
rm -rf experiments/update_time/benchmark/accuracy # the network that was trained to be clicked with
