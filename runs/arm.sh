#!/bin/sh
# What backdrops.sh and larger.sh have in common: the shipped network trained on over the ten shards of a run, and its scores.
#   PHOTOS=lspet_val sh runs/arm.sh RUN SIZE IMAGES [options of depthhmr train]
set -eu
photos=${PHOTOS:?expected a folder with images/ and joints.json, such as the validation part of LSP Extended}
cd "$(dirname "$0")/.."
run=$1 size=$2 images=$3
shift 3
depthhmr=.venv/bin/depthhmr
state=runs/state

$depthhmr train --preset tiny --run "$run" --init model_repository/depthhmr --size "$size" --mix $state/photos=0.5 \
    --images "$images" --decay-from 0.6 --learning-rate 7e-4 --validate-every "$images" --seed 1 \
    --renderers 0 --shards 10 --first-shards 8 "$@"
$depthhmr export --run "$run" --model-dir "$run/model" --threshold 0.5
for threshold in 0.5 0.45; do
    $depthhmr evaluate --photos "$photos" --people-free $state/backdrops-empty --model-dir "$run/model" \
        --threshold $threshold --json "$run/photos-$threshold.json"
done
$depthhmr evaluate --split val --count 500 --model-dir "$run/model" --json "$run/val.json"
