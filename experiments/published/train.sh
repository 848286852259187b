#!/usr/bin/env bash
# Trains guided-lite1 from its data: DATA=FOLDER train.sh [OVERRIDE...]
# DATA holds voc2012/, coco_instances/, davis2016/ and bsds_regions/. Repeat the command to resume it. The result is
# outputs/published/training/guided-lite1; MODEL=THAT run.sh scores it.
source "$(dirname "$0")/../common.sh"
OUT=outputs/published/training
DATA=${DATA:-data}

resume=()
[ -f "$OUT/run/checkpoints/last.ckpt" ] && resume=(ckpt_path=last)
[ -f "$OUT/run/metrics.json" ] || "$PYTHON" -m guided_seg.run +experiment=guided_lite1 "data.root=$DATA" logger=csv \
    data.augment.size=224 'data.augment.extent=[0.07,1.05]' data.training.batch_size=32 data.training.lr=1.8e-3 \
    data.training.steps=2200 data.training.validate_every=1100 "$@" "${resume[@]}" "output_dir=$OUT/run"
[ -d "$OUT/guided-lite1" ] || "$PYTHON" -m guided_seg.release "checkpoint=$OUT/run" name=guided-lite1 longest=512 enlarge=true \
    card=experiments/published/card.md "output_dir=$OUT/guided-lite1"
