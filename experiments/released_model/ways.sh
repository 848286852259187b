#!/usr/bin/env bash
# What each way of asking the released network again adds, on photos for validation; DATA=FOLDER of voc2012/ and coco/
source "$(dirname "$0")/../common.sh"
OUT=${OUT:-outputs/released_model/ways}
DATA=${DATA:-data}
JOBS=${JOBS:-2} # asked at a time
export OUT DATA PYTHON OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

# ask OVERRIDE...: of 60 objects of each source, one draw of the dots; what was stopped goes on, and what is there stays
ask() {
    local folder source
    folder=$OUT/$(tr -c 'A-Za-z0-9.\n' '_' <<<"$*")
    mkdir -p "$folder"
    echo "$*" >"$folder/ways.txt"
    declare -A sources=(
        [voc]="data.root=$DATA/voc2012 data.held_out=[cow] data.instances=regions"
        [coco]="data.root=$DATA/coco data.test_images=20 data.test_classes=all"
    )
    for source in voc coco; do
        # shellcheck disable=SC2086 # words of a source are overrides of their own
        "$PYTHON" -m guided_seg.evaluate checkpoint=guided-lite0 "data=$source" ${sources[$source]} split=val \
            'protocol=[instances]' 'protocol.instances.seeds=[0]' protocol.instances.episodes=60 "$@" \
            "output_dir=$folder/$source" >"$folder/$source.txt" 2>&1 || echo "failed: $*; see $folder/$source.txt" >&2
    done
}
export -f ask

xargs -P "$JOBS" -I{} bash -c 'ask {}' <<'EOF'
refine.again=0
refine.again=1
refine.again=1 refine.zoom=2.0
refine.again=1 refine.zoom=2.0 refine.connected=true
refine.again=1 refine.zoom=2.0 refine.connected=true refine.margin=0.4
refine.again=1 refine.zoom=2.0 refine.connected=true refine.margin=0.7
refine.again=1 refine.zoom=2.0 refine.connected=true refine.margin=1.1
refine.again=1 refine.zoom=1.5 refine.connected=true refine.margin=0.7
refine.again=1 refine.zoom=2.0 refine.connected=true refine.margin=0.7 refine.mirror=true
EOF
"$PYTHON" "$(dirname "$0")/ways.py" "$OUT"
