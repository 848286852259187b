# What the run.sh of each folder uses. Runs go to outputs/claims; what is complete there is skipped, so a script that was
# stopped is finished by the same command. PYTHON chooses the interpreter, DATA the folder of voc2012/ and davis/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=${PYTHON:-python}
DATA=${DATA:-}
RUNS=outputs/claims

# train FOLDER OVERRIDE...: three seeds of every combination of the overrides, on one thread, as the pages show them
train() {
    OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} "$PYTHON" -m guided_seg.run -m +sweep=claims logger=csv "hydra.sweep.dir=$RUNS/$1" "${@:2}"
}

# photos SOURCE FOLDER OVERRIDE...: the same on voc or davis, on a frozen light backbone
photos() {
    local root=$DATA/$1
    [ "$1" = voc ] && root=$DATA/voc2012
    train "$2" data="$1" data.root="$root" backbone=efficientnet_lite0 data.augment.size=192 \
        data.training.steps=300 data.training.validate_every=150 "${@:3}"
}

# study OUT DIR...: the table and the figures of the runs; IoU by class or object is left out, it is large
study() {
    "$PYTHON" -m guided_seg.study --out "experiments/$1" "${@:2}"
    rm -f "experiments/$1/study_groups.csv"
}
