#!/usr/bin/env bash
# Two networks under every protocol of their data; DATA=FOLDER of voc2012/ and davis2016/ adds photographs
source "$(dirname "$0")/../common.sh"
HERE=experiments/protocols
OUT=outputs/protocols
IMAGES=revolver,pascal5i,hsnet,clicks,random_clicks
VIDEOS=revolver,davis2016,davis2017,clicks,random_clicks,interactive_video

# network NAME OVERRIDE...: train it, unless it exists
network() {
    [ -f "$OUT/$1/metrics.json" ] ||
        "$PYTHON" -m guided_seg.run +experiment=late_global logger=csv "output_dir=$OUT/$1" "${@:2}"
}

# score NAME NETWORK PROTOCOLS OVERRIDE...: on the shipped episodes; FREEZE=1 freezes them again
score() {
    local data=("${@:4}")
    if [ -n "${FREEZE:-}" ]; then
        "$PYTHON" -m guided_seg.episodes freeze "protocol=[$3]" "folder=$HERE/episodes/$1" "${data[@]}"
    fi
    "$PYTHON" -m guided_seg.evaluate "checkpoint=$OUT/$2/checkpoints/best.ckpt" "protocol=[$3]" "${data[@]}" \
        "episodes=$HERE/episodes/$1" "output_dir=$OUT/on_$1" ${EVALUATE:-}
    mkdir -p "$HERE/$1"
    cp "$OUT/on_$1"/protocols.{md,json} "$OUT/on_$1/figures/clicks.png" "$HERE/$1"
    case $3 in *interactive_video*) cp "$OUT/on_$1/figures/interactive_video.png" "$HERE/$1" ;; esac
}

network shapes
score shapes shapes "pascal5i,hsnet,$VIDEOS,human_clicks,instances,complement,held_out,davis2016_memory" data=shapes
if [ -n "$DATA" ]; then
    network voc data=voc "data.root=$DATA/voc2012" data.held_out=1 mode=mixed backbone=efficientnet_lite0
    score voc voc $IMAGES data=voc "data.root=$DATA/voc2012" data.held_out=1
    score davis voc $VIDEOS data=davis "data.root=$DATA/davis2016"
fi
