# Functions for the run.sh of each folder. Runs are in outputs/claims. Complete runs are skipped, so repeating a command
# resumes it. PYTHON is the interpreter, DATA the folder with voc2012/ and davis2016/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=${PYTHON:-python}
DATA=${DATA:-}
RUNS=outputs/claims

# train FOLDER OVERRIDE...: three seeds of every combination of the overrides, on one thread, as on the pages
train() {
    OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} "$PYTHON" -m guided_seg.run -m +sweep=claims logger=csv "hydra.sweep.dir=$RUNS/$1" "${@:2}"
}

# photos SOURCE FOLDER OVERRIDE...: the same on voc or davis, on a frozen light backbone
photos() {
    local root=$DATA/voc2012
    [ "$1" = davis ] && root=$DATA/davis2016
    train "$2" data="$1" data.root="$root" backbone=efficientnet_lite0 data.augment.size=192 \
        data.training.steps=300 data.training.validate_every=150 "${@:3}"
}

# study OUT DIR...: the table and the figures of the runs, without the large file of IoU by class or object
study() {
    "$PYTHON" -m guided_seg.study --out "experiments/$1" "${@:2}"
    rm -f "experiments/$1/study_groups.csv"
}

# score NAME CHECKPOINT PROTOCOLS OVERRIDE...: evaluate into $OUT, and copy tables and figures into $HERE/NAME
score() {
    "$PYTHON" -m guided_seg.evaluate "checkpoint=$2" "protocol=[$3]" "output_dir=$OUT/on_$1" ${EVALUATE:-} "${@:4}"
    mkdir -p "$HERE/$1"
    cp "$OUT/on_$1"/protocols.{md,json} "$OUT/on_$1"/figures/*.png "$HERE/$1"
}
