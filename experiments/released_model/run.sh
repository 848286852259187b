#!/usr/bin/env bash
# All scores of the released network, and with TRAIN=1 its training: DATA=FOLDER of the parts of data=mixture
source "$(dirname "$0")/../common.sh"
HERE=experiments/released_model
OUT=outputs/released_model
DATA=${DATA:-data}
TRAINED=${TRAINED:-$OUT} # runs of the networks for other classes, trained if missing

# network NAME OVERRIDE...: train it, unless it exists; an interrupted training resumes from its last validation
network() {
    local run=$TRAINED/$1 resume=()
    [ -f "$run/metrics.json" ] && return
    [ -f "$run/checkpoints/last.ckpt" ] && resume=(ckpt_path=last)
    # regions have no class names, so they may be of a held-out class
    "$PYTHON" -m guided_seg.run +experiment=guided_lite0 "data.root=$DATA" '~data.sources.regions' logger=csv "${@:2}" \
        "${resume[@]}" "output_dir=$run"
}

# released NAME RUN: the released form, rounded to fp16, with all images resized to one size
released() {
    [ -d "$OUT/$1" ] || "$PYTHON" -m guided_seg.release "checkpoint=$2" "name=$1" longest=512 enlarge=true \
        "card=$HERE/card.md" "output_dir=$OUT/$1"
}

# held_out CLASS CHECKPOINT: in a single pass, and refined
held_out() {
    local of=(held_out data=voc "data.root=$DATA/voc2012" "data.held_out=[$1]")
    score "held_out_$1" "$2" "${of[@]}"
    score "refined/held_out_$1" "$2" "${of[@]}" refine.again=2 refine.zoom=2.0
}

MODEL=guided-lite0 # the shipped weights; with TRAIN=1 they are trained again
if [ -n "${TRAIN:-}" ]; then
    MODEL=$OUT/guided-lite0
    # first at the size of most objects (165 s on an H100), then also on smaller ones, with the backbone frozen
    network cow_first
    network cow "start_from=$TRAINED/cow_first" backbone.frozen=true data.augment.size=320 'data.augment.extent=[0.05,0.9]' \
        optimizer.schedule.pct_start=0.1 data.training.batch_size=24 data.training.lr=1e-3 data.training.steps=300 \
        data.training.validate_every=300
    released guided-lite0 "$TRAINED/cow"
fi
DOTS=(protocol.davis2016.seeds='[0,1,2]' protocol.davis2016_memory.seeds='[0,1,2]' protocol.davis2016_memory.memory=moved)
DAVIS=(data=davis "data.root=$DATA/davis2016")
COCO=(data=coco "data.root=$DATA/coco_instances" data.test_classes=all)
score davis "$MODEL" instances,clicks,davis2016,davis2016_memory "${DAVIS[@]}" "${DOTS[@]}"
score coco "$MODEL" instances "${COCO[@]}"
# the same with test-time refinement
AGAIN=(refine.again=1 refine.zoom=2.0 refine.mirror=true)
score refined/davis "$MODEL" instances,clicks "${DAVIS[@]}" "${AGAIN[@]}"
score refined/video "$MODEL" davis2016,davis2016_memory "${DAVIS[@]}" "${DOTS[@]}" refine.again=1 refine.zoom=2.0
score refined/coco "$MODEL" instances "${COCO[@]}" 'protocol.instances.points=[1,5]' "${AGAIN[@]}" refine.connected=true refine.margin=0.7
held_out cow "$MODEL"
# Two networks for the four other classes, each trained without two of them and for fewer steps; no video shows these.
BRIEF=(data.training.batch_size=24 data.training.lr=1.5e-3 data.training.steps=740 data.training.validate_every=370)
# Both in parallel, on one thread each: on two cores this takes no longer than one of them.
OMP_NUM_THREADS=1 network dog_horse 'data.held_out=[dog,horse]' 'data.sources.davis.without=[horsejump-low]' "${BRIEF[@]}" &
OMP_NUM_THREADS=1 network cat_person 'data.held_out=[cat,person]' '~data.sources.davis' "${BRIEF[@]}" &
wait
for pair in dog_horse cat_person; do
    [ -f "$TRAINED/$pair/metrics.json" ] || { # otherwise an incomplete training would be scored
        echo "$TRAINED/$pair: its training failed or was stopped, see above; the same command goes on with it." >&2
        exit 1
    }
    name=guided-lite0-without-${pair/_/-}
    released "$name" "$TRAINED/$pair"
    for class in ${pair/_/ }; do held_out "$class" "$OUT/$name"; done
done
"$PYTHON" -m guided_seg.benchmark suite=released "checkpoint=$MODEL" "output_dir=$OUT/times"
mkdir -p "$HERE/times"
cp "$OUT/times"/{benchmark,machine}.json "$HERE/times"
"$PYTHON" experiments/cases.py "$MODEL" "$OUT/on_davis" davis2016 5 "$HERE/davis"
"$PYTHON" "$HERE/reach.py"
