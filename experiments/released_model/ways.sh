#!/usr/bin/env bash
# What each test-time refinement adds, on validation photos and on frames of videos outside the test set, with a network
# trained without video (made by run.sh); DATA=FOLDER of voc2012/, davis2016/ and coco_instances/
source "$(dirname "$0")/../common.sh"
OUT=${OUT:-outputs/released_model/ways}
DATA=${DATA:-data}
JOBS=${JOBS:-2} # evaluations in parallel
export OUT DATA PYTHON OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

MODEL=guided-lite0
WITHOUT_VIDEO=${WITHOUT_VIDEO:-outputs/released_model/$MODEL-without-cat-person}
VOC="checkpoint=$MODEL data=voc data.root=$DATA/voc2012 data.held_out=[cow] data.instances=regions split=val"
COCO="checkpoint=$MODEL data=coco data.root=$DATA/coco_instances data.test_classes=all split=val"
FRAMES="checkpoint=$WITHOUT_VIDEO data=davis data.root=$DATA/davis2016 split=train protocol.instances.episodes=50"
export VOC COCO FRAMES

# ask OVERRIDE...: 50 or 60 objects of each source, one draw of the dots; complete evaluations are kept, others resume
ask() {
    local folder source
    folder=$OUT/$(tr -c 'A-Za-z0-9.\n' '_' <<<"$*")
    mkdir -p "$folder"
    echo "$*" >"$folder/ways.txt"
    for source in VOC COCO FRAMES; do
        # shellcheck disable=SC2086 # each word of a source is an override
        "$PYTHON" -m guided_seg.evaluate 'protocol=[instances]' 'protocol.instances.seeds=[0]' \
            protocol.instances.episodes=60 ${!source} "$@" "output_dir=$folder/$source" >"$folder/$source.txt" 2>&1 ||
            echo "failed: $*; see $folder/$source.txt" >&2
    done
}
export -f ask

xargs -P "$JOBS" -I{} bash -c 'ask {}' <<'EOF'
refine.again=0
refine.again=1
refine.again=1 refine.zoom=2.0
refine.again=1 refine.zoom=2.0 refine.mirror=true
refine.again=1 refine.zoom=2.0 refine.connected=true
refine.again=1 refine.zoom=2.0 refine.connected=true refine.margin=0.7
refine.again=1 refine.zoom=2.0 refine.connected=true refine.margin=0.7 refine.mirror=true
EOF
"$PYTHON" "$(dirname "$0")/ways.py" "$OUT"
