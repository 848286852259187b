#!/usr/bin/env bash
# Train in one mode or in the mixture, test in all
source "$(dirname "$0")/../common.sh"
train cross_mode +experiment=late_global mode=mixed,interactive,semantic,video
study cross_mode/shapes --reference mode=mixed $RUNS/cross_mode
if [ -n "$DATA" ]; then
    photos voc voc_mixed +experiment=late_global mode=mixed
    photos voc voc_interactive +experiment=late_global mode=interactive
    photos voc voc_floor +experiment=foreground_background
    study cross_mode/voc $RUNS/voc_{mixed,interactive,floor}
fi
