#!/usr/bin/env bash
# A network on the validation data, by which networks are chosen: MODEL=FOLDER DATA=FOLDER validate.sh
# MODEL is a released model, as guided_seg.release makes it, at the size of images that users get.
# The scores are in outputs/published/validation/NAME; trainings.md has those of all trainings so far.
source "$(dirname "$0")/../common.sh"
DATA=${DATA:-data}
MODEL=${MODEL:-guided-lite0}
OUT=outputs/published/validation/$(basename "$MODEL")

# on SET PROTOCOLS OVERRIDE...: objects or regions from dots, the same with + and − exchanged, and clicks
on() {
    "$PYTHON" -m guided_seg.evaluate "checkpoint=$MODEL" "protocol=[$2]" split=val "${@:3}" \
        'protocol.instances.points=[1,5,10]' "output_dir=$OUT/$1" ${EVALUATE:-}
}

on coco instances,complement,clicks data=coco "data.root=$DATA/coco_instances" data.test_classes=all \
    protocol.instances.episodes=40 protocol.complement.episodes=40 protocol.clicks.episodes=30
on voc instances data=voc "data.root=$DATA/voc2012" 'data.held_out=[cow]' protocol.instances.episodes=60
on davis instances,complement,clicks data=davis "data.root=$DATA/davis2016" protocol.clicks.episodes=20
on regions instances,clicks data=folder "data.root=$DATA/bsds_regions" protocol.instances.episodes=60 protocol.clicks.episodes=20
