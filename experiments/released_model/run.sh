#!/usr/bin/env bash
# The released network, trained with a class held out, and every figure of its page: DATA=FOLDER of voc2012/, davis/, coco/
source "$(dirname "$0")/../common.sh"
HERE=experiments/released_model
OUT=outputs/released_model
DATA=${DATA:-data}
HELD_OUT=${HELD_OUT:-cow}

# network CLASS: trained without it, unless it is there
network() {
    [ -f "$OUT/$1/metrics.json" ] ||
        "$PYTHON" -m guided_seg.run +experiment=guided_lite0 "data.root=$DATA" "data.held_out=[$1]" logger=csv "output_dir=$OUT/$1"
}

# score NAME CHECKPOINT PROTOCOLS OVERRIDE...
score() {
    "$PYTHON" -m guided_seg.evaluate "checkpoint=$2" "protocol=[$3]" "output_dir=$OUT/on_$1" ${EVALUATE:-} "${@:4}"
    mkdir -p "$HERE/$1"
    cp "$OUT/on_$1"/protocols.{md,json} "$OUT/on_$1"/figures/*.png "$HERE/$1"
}

MODEL=guided-lite0 # the weights that ship; with TRAIN=1 they are made again
if [ -n "${TRAIN:-}" ]; then
    network cow
    MODEL=$OUT/guided-lite0
    [ -d "$MODEL" ] || "$PYTHON" -m guided_seg.release "checkpoint=$OUT/cow" name=guided-lite0 longest=512 "card=$HERE/card.md" \
        "output_dir=$MODEL"
fi
DOTS=(protocol.davis2016.seeds='[0,1,2]' protocol.davis2016_memory.seeds='[0,1,2]')
score davis "$MODEL" instances,clicks,davis2016,davis2016_memory data=davis "data.root=$DATA/davis" "${DOTS[@]}"
score coco "$MODEL" instances data=coco "data.root=$DATA/coco" data.test_images=20 data.test_classes=all
for class in $HELD_OUT; do
    model=$MODEL
    [ "$class" = cow ] || { network "$class"; model=$OUT/$class; }
    score "held_out_$class" "$model" held_out data=voc "data.root=$DATA/voc2012" "data.held_out=[$class]"
done
"$PYTHON" -m guided_seg.benchmark suite=released "checkpoint=$MODEL" "output_dir=$OUT/times"
mkdir -p "$HERE/times"
cp "$OUT/times"/{benchmark,machine}.json "$HERE/times"
"$PYTHON" "$HERE/cases.py" "$MODEL" "$OUT/on_davis" davis2016 5 "$HERE/davis"
"$PYTHON" "$HERE/reach.py"
