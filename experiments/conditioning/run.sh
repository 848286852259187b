#!/usr/bin/env bash
# Conditioning of the query on z: feature fusion, parameter regression, prototypes, nearest neighbors
source "$(dirname "$0")/../common.sh"
train cross_mode +experiment=late_global mode=mixed # feature fusion, which other pages show too
train conditioning +experiment=late_global conditioning=parameter_regression
train conditioning +experiment=late_global conditioning=prototypes conditioning.metric=cosine,euclidean
train conditioning +experiment=nearest_neighbors
train conditioning +experiment=late_global conditioning.matching=false
study conditioning/shapes --reference conditioning=feature_fusion,conditioning.matching=true $RUNS/conditioning $RUNS/cross_mode/*mode=mixed*
if [ -n "$DATA" ]; then
    photos voc voc_mixed +experiment=late_global mode=mixed # feature fusion
    photos voc voc_conditioning +experiment=late_global conditioning=prototypes,parameter_regression
    photos voc voc_conditioning +experiment=nearest_neighbors
    study conditioning/voc --reference conditioning=feature_fusion $RUNS/voc_{mixed,conditioning}
fi
