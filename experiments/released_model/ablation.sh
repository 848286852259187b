#!/usr/bin/env bash
# What each part of the released network adds: networks without it, trained briefly; DATA=FOLDER of voc2012/, davis/, coco/
source "$(dirname "$0")/../common.sh"
OUT=${OUT:-outputs/released_model/ablation}
DATA=${DATA:-data}
JOBS=${JOBS:-2} # networks trained at a time
export OUT DATA PYTHON OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

# network OVERRIDE...: on smaller crops and in a seventh of the time; complete ones are not trained again
network() {
    local name
    name=$(tr -c 'A-Za-z0-9.\n' '_' <<<"$*")
    [ -f "$OUT/$name/metrics.json" ] && return
    mkdir -p "$OUT/$name"
    echo "$*" >"$OUT/$name/change.txt"
    "$PYTHON" -m guided_seg.run +experiment=guided_lite0 logger=csv "data.root=$DATA" trainer.enable_progress_bar=false \
        data.augment.size=192 data.training.batch_size=24 data.training.steps=400 data.training.validate_every=400 \
        data.training.val_episodes=100 ${EXTRA:-} "$@" "output_dir=$OUT/$name" >"$OUT/$name/log.txt" 2>&1 ||
        echo "failed: $*; see $OUT/$name/log.txt" >&2
}
export -f network

xargs -P "$JOBS" -I{} bash -c 'network {}' <<'EOF'
seed=0
seed=1
seed=2
conditioning.mean=false
conditioning.nearest=false
conditioning.ridge=false
conditioning.places=false conditioning.spread=false
conditioning.spread=false
conditioning.memory=false episode.earlier=0
conditioning.coarser=[]
conditioning.local=true
backbone.finest=1 decoder.unshuffle=false
backbone.frozen=true
optimizer.pretrained_lr=0.2
backbone.model=tf_efficientnet_lite0
backbone.neck=null
loss=cross_entropy
loss.iou=1.5
episode.turns=1
episode.shots=[1,1]
episode.corrections=0 episode.recalled=0
episode.united=0
data.augment.paste=0
data.augment.extent=null
data.sources.voc.instances=false
~data.sources.coco
EOF
"$PYTHON" "$(dirname "$0")/ablation.py" "$OUT"
