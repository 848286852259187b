#!/usr/bin/env bash
# What each part of the released network adds: networks without it, trained briefly; DATA=FOLDER of voc2012/, davis/, coco/
source "$(dirname "$0")/../common.sh"
OUT=${OUT:-outputs/released_model/ablation}
DATA=${DATA:-data}
JOBS=${JOBS:-2} # networks trained at a time
export OUT DATA PYTHON OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

# network OVERRIDE...: on a frozen backbone, smaller crops and few steps; complete ones are not trained again
network() {
    local folder
    folder=$OUT/$(tr -c 'A-Za-z0-9.\n' '_' <<<"$*")
    [ -f "$folder/metrics.json" ] && return
    mkdir -p "$folder"
    echo "$*" >"$folder/change.txt"
    "$PYTHON" -m guided_seg.run +experiment=guided_lite0 logger=csv "data.root=$DATA" trainer.enable_progress_bar=false \
        backbone.frozen=true data.augment.size=128 data.training.batch_size=24 data.training.lr=2e-3 data.training.steps=250 \
        data.training.validate_every=250 data.training.val_episodes=40 evaluation.episodes=2 "$@" "output_dir=$folder" \
        >"$folder/log.txt" 2>&1 || echo "failed: $*; see $folder/log.txt" >&2
}
export -f network

xargs -P "$JOBS" -I{} bash -c 'network {}' <<'EOF'
seed=0
seed=1
conditioning.nearest=false
conditioning.ridge=false
conditioning.places=false conditioning.spread=false
conditioning.mean=false
decoder.unshuffle=false backbone.finest=1
conditioning.coarser=[]
backbone.neck=null
conditioning.memory=false episode.earlier=0
loss=cross_entropy
data.augment.paste=0 episode.united=0
data.sources.voc.instances=false
~data.sources.coco
EOF
"$PYTHON" "$(dirname "$0")/ablation.py" "$OUT"
