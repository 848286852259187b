#!/usr/bin/env bash
# The same weights at many S and P, and training with several shots
source "$(dirname "$0")/../common.sh"
train cross_mode +experiment=late_global mode=mixed # which other pages show too
train shots_points +experiment=late_global 'episode.shots=[1,5]'
study shots_points/shapes $RUNS/shots_points $RUNS/cross_mode/*mode=mixed*
if [ -n "$DATA" ]; then
    photos voc voc_mixed +experiment=late_global mode=mixed
    photos davis davis +experiment=late_global
    study shots_points/voc $RUNS/voc_mixed
    study shots_points/davis $RUNS/davis
fi
