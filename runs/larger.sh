#!/bin/sh
# Do larger pictures, late, help? The arm without backdrops of runs/backdrops.sh once more, from the same weights, seeds and shards, at
# another side of the network's input.
#   sh runs/larger.sh [size] [images]        192 and 8000 by default: about 15 minutes of one quiet core
# Needs what runs/backdrops.sh leaves: run that first. Run it again after a kill: it goes on.
set -eu
cd "$(dirname "$0")/.."
size=${1:-192}
images=${2:-8000}
photos=${PHOTOS:-../shared/data/lspet_val}
depthhmr=.venv/bin/depthhmr
state=runs/state
run=$state/larger-$size

test -d $state/backdrops-plain/shards || { echo "expected the shards of runs/backdrops.sh in $state/backdrops-plain: run it first" >&2; exit 1; }
mkdir -p $run
test -e $run/shards || ln -s ../backdrops-plain/shards $run/shards
$depthhmr train --preset tiny --run $run --init model_repository/depthhmr --size "$size" --mix $state/photos=0.5 \
    --images "$images" --decay-from 0.6 --learning-rate 7e-4 --validate-every "$images" --seed 1 \
    --renderers 0 --shards 10 --first-shards 8
$depthhmr export --run $run --model-dir $run/model --threshold 0.5
for threshold in 0.5 0.45; do
    $depthhmr evaluate --photos "$photos" --people-free $state/backdrops-empty --model-dir $run/model \
        --threshold $threshold --json $run/photos-$threshold.json
done
$depthhmr evaluate --split val --count 500 --model-dir $run/model --json $run/val.json
