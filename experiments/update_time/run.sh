#!/usr/bin/env bash
# Needs a machine that does nothing else, and no training
source "$(dirname "$0")/../common.sh"
"$PYTHON" experiments/update_time/measure.py
"$PYTHON" -m guided_seg.benchmark output_dir=outputs/benchmark
cp outputs/benchmark/{benchmark.json,benchmark.md,machine.json,accuracy.csv,accuracy.png} experiments/update_time/benchmark/
