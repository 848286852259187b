#!/usr/bin/env bash
# Needs a machine that does nothing else, and no training
source "$(dirname "$0")/../common.sh"
"$PYTHON" experiments/update_time/measure.py
