#!/usr/bin/env bash
# Late and early fusion, global and local guidance, all trained on interactive tasks
source "$(dirname "$0")/../common.sh"
train cross_mode +experiment=late_global mode=interactive # late and global, which other pages show too
train fusion_locality +experiment=late_global mode=interactive locality=local fusion=late,early_stack
train fusion_locality +experiment=late_global mode=interactive locality=global fusion=early_stack
train fusion_locality +experiment=late_global mode=interactive locality=global fusion=early_mask
train fusion_locality +experiment=late_local
train fusion_locality +experiment=early_stack
study fusion_locality/shapes --reference name=late_global,fusion=late,locality=global $RUNS/fusion_locality $RUNS/cross_mode/*mode=interactive*
if [ -n "$DATA" ]; then
    photos voc voc_fusion +experiment=late_global,early_stack mode=interactive backbone.frozen=false
    study fusion_locality/voc --reference name=late_global $RUNS/voc_fusion
fi
