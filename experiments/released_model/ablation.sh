#!/usr/bin/env bash
# What each part of the released network adds: networks without it, trained for a few steps, from scratch and from the
# released weights; DATA=FOLDER of the parts of data=mixture
source "$(dirname "$0")/../common.sh"
HERE=experiments/released_model
OUT=${OUT:-outputs/released_model/ablation}
DATA=${DATA:-data}
JOBS=${JOBS:-2} # networks trained in parallel
export HERE OUT DATA PYTHON OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

# trained FOLDER OVERRIDE...: with a frozen backbone
trained() {
    "$PYTHON" -m guided_seg.run +experiment=guided_lite0 logger=csv "data.root=$DATA" '~data.sources.regions' \
        trainer.enable_progress_bar=false backbone.frozen=true data.training.batch_size=24 evaluation.episodes=2 \
        "${@:2}" "output_dir=$1" >"$1/log.txt" 2>&1 ||
        echo "failed: ${*:2}; see $1/log.txt" >&2
}

# folder NAME OVERRIDE...: an empty folder for a network, unless it is complete
folder() {
    local folder
    folder=$OUT/$1/$(tr -c 'A-Za-z0-9.\n' '_' <<<"${*:2}")
    [ -f "$folder/metrics.json" ] && return 1
    mkdir -p "$folder"
    echo "${*:2}" >"$folder/change.txt"
    echo "$folder"
}

# brief OVERRIDE...: from scratch, on smaller crops
brief() {
    local run
    run=$(folder brief "$@") || return 0
    trained "$run" data.augment.size=128 data.training.lr=2e-3 data.training.steps=250 data.training.validate_every=250 \
        data.training.val_episodes=40 "$@"
}

# onward OVERRIDE...: from the released network without the part, with the settings of its last steps, twice
onward() {
    local run seed
    for seed in 0 1; do
        run=$(folder onward "$@" "seed=$seed") || continue
        "$PYTHON" "$HERE/without.py" "$run/start" "$@" &&
            trained "$run" "start_from=$run/start" data.augment.size=256 'data.augment.extent=[0.05,0.9]' \
                optimizer.schedule.pct_start=0.1 data.training.lr=1e-3 data.training.steps=120 \
                data.training.validate_every=120 data.training.val_episodes=100 "$@" "seed=$seed"
    done
}
export -f trained folder brief onward

xargs -P "$JOBS" -I{} bash -c '{}' <<'EOF'
brief seed=0
brief seed=1
brief conditioning.nearest=false
brief conditioning.ridge=false
brief conditioning.places=false conditioning.spread=false
brief conditioning.mean=false
brief decoder.unshuffle=false backbone.finest=1
brief conditioning.coarser=[]
brief backbone.neck=null
brief conditioning.memory=false episode.earlier=0
brief loss=cross_entropy
brief data.augment.paste=0 episode.united=0
brief data.sources.voc.instances=false
brief ~data.sources.coco
onward
onward conditioning.mean=false
onward conditioning.nearest=false
onward conditioning.ridge=false
onward conditioning.places=false conditioning.spread=false
onward conditioning.memory=false episode.earlier=0
EOF
"$PYTHON" "$HERE/ablation.py" "$OUT"
