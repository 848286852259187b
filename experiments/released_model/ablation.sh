#!/usr/bin/env bash
# What each part of the released network adds: networks without it, trained briefly; DATA=FOLDER of voc2012/, davis/, coco/
source "$(dirname "$0")/../common.sh"
OUT=outputs/released_model/ablation
DATA=${DATA:-data}

# network OVERRIDE...: on smaller crops and in a fifth of the time
network() {
    OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} "$PYTHON" -m guided_seg.run -m +experiment=guided_lite0 logger=csv "data.root=$DATA" \
        data.augment.size=192 data.training.batch_size=16 data.training.steps=500 data.training.validate_every=500 \
        "seed=${SEEDS:-0,1}" "hydra.sweep.dir=$OUT" "$@"
}

network
for part in mean nearest ridge places spread memory; do
    network "conditioning.$part=false"
done
network 'conditioning.near=[1.5,5.0]'
network 'conditioning.coarser=[]'
network backbone.finest=1
network backbone=efficientnet_lite0 backbone.finest=0 backbone.width=96
network loss=cross_entropy
network episode.turns=1
network episode.united=0
network episode.earlier=0
network data.augment.paste=0
network data.augment.extent=null
network '~data.sources.coco'
"$PYTHON" -m guided_seg.study "$OUT" --out experiments/released_model/ablation
rm -f experiments/released_model/ablation/study_groups.csv
