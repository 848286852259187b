#!/usr/bin/env bash
# A network on the benchmarks of the field, and the tables: MODEL=guided-lite0 DATA=FOLDER run.sh [SET...]
# DATA holds grabcut/, berkeley/, davis2016/, coco_instances/, bsds_regions/ and voc2012/. FEW=5 scores five tasks of each
# protocol, as a trial, and leaves the committed tables alone. AS=NAME EVALUATE='OVERRIDE...' scores with other settings.
source "$(dirname "$0")/../common.sh"
DATA=${DATA:-data}
MODEL=${MODEL:-guided-lite0}
TABLES=${FEW:+outputs/published/few}
TABLES=${TABLES:-experiments/published}
NAME=${AS:-$(basename "$MODEL")}
HERE=$TABLES/$NAME
OUT=outputs/published/${FEW:+few_}$NAME

# scored SET PROTOCOLS OVERRIDE...: as score, on FEW tasks of each protocol if that is set
scored() {
    local few=() protocol
    for protocol in ${FEW:+${2//,/ }}; do few+=("protocol.$protocol.episodes=$FEW"); done
    score "$1" "$MODEL" "$2" "${@:3}" "${few[@]}"
}

# cases SET PROTOCOL: pictures of the best, median and worst answers to five dots
cases() {
    [ -n "${FEW:-}" ] || "$PYTHON" experiments/cases.py "$MODEL" "$OUT/on_$1" "$2" 5 "$HERE/$1"
}

# benchmark SET: its protocols and data; the dots of videos and tasks are drawn three times
benchmark() {
    local davis=(data=davis "data.root=$DATA/davis2016") seeds='[0,1,2]' points='[1,5,10,dense]'
    local figures='[J,F,J&F,recall,decay,J@quarter1,J@quarter2,J@quarter3,J@quarter4]'
    case $1 in
        grabcut | berkeley) scored "$1" clicks,human_clicks data=folder "data.root=$DATA/$1" data.whole=true ;;
        frames) scored frames instances,complement "${davis[@]}" ;;
        davis)
            scored davis davis2016,davis2016_memory,interactive_video "${davis[@]}" protocol.davis2016_memory.memory=moved \
                "protocol.davis2016.points=$points" "protocol.davis2016.seeds=$seeds" "protocol.davis2016.figures=$figures" \
                "protocol.davis2016_memory.points=$points" "protocol.davis2016_memory.seeds=$seeds"
            cases davis davis2016
            ;;
        coco)
            scored coco instances,complement data=coco "data.root=$DATA/coco_instances" data.test_classes=all
            cases coco instances
            ;;
        regions) scored regions instances,complement data=folder "data.root=$DATA/bsds_regions" ;;
        held_out) scored held_out held_out data=voc "data.root=$DATA/voc2012" 'data.held_out=[cow]' ;;
        *)
            echo "$1: expected grabcut, berkeley, frames, davis, coco, regions or held_out." >&2
            exit 1
            ;;
    esac
}

[ $# -gt 0 ] || set -- grabcut berkeley frames davis coco regions held_out
for set in "$@"; do benchmark "$set"; done
"$PYTHON" experiments/published/table.py "$TABLES"
"$PYTHON" experiments/published/curves.py "$TABLES"
