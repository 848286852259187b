#!/usr/bin/env bash
# Trains guided-lite1 from its data, in two stages: DATA=FOLDER train.sh [OVERRIDE...]
# DATA holds voc2012/, coco_instances/, davis2016/ and bsds_regions/. Repeat the command to resume it. Overrides such as
# seed=1 hold for both stages. The result is outputs/published/training/guided-lite1; MODEL=THAT run.sh scores it.
source "$(dirname "$0")/../common.sh"
OUT=outputs/published
DATA=${DATA:-data}

# stage NAME OVERRIDE...: train, unless that is done; an interrupted stage resumes from its last checkpoint
stage() {
    local run=$OUT/training/$1 resume=()
    [ -f "$run/metrics.json" ] && return
    [ -f "$run/checkpoints/last.ckpt" ] && resume=(ckpt_path=last)
    "$PYTHON" -m guided_seg.run +experiment=guided_lite1 "data.root=$DATA" logger=csv "${@:2}" "${resume[@]}" "output_dir=$run"
}

# small crops, for many steps; then larger ones and smaller objects, with the backbone frozen
stage first data.augment.size=192 data.training.batch_size=32 data.training.lr=1.8e-3 data.training.steps=1300 \
    data.training.validate_every=650 "$@"
stage second "start_from=$OUT/training/first" backbone.frozen=true data.augment.size=320 'data.augment.extent=[0.05,0.9]' \
    optimizer.schedule.pct_start=0.1 data.training.batch_size=24 data.training.lr=1e-3 data.training.steps=300 \
    data.training.validate_every=150 "$@"
[ -d "$OUT/training/guided-lite1" ] || "$PYTHON" -m guided_seg.release "checkpoint=$OUT/training/second" name=guided-lite1 longest=512 \
    enlarge=true card=experiments/published/card.md "output_dir=$OUT/training/guided-lite1"
