#!/bin/sh
# Photographs with 2D joints for a network that has seen rendered people alone, as runs/tiny.sh leaves one:
#   sh runs/photos.sh runs/state/tiny/model lspet_train [run]
# The first is the model folder to start from, the second a folder with images/ and joints.json, such as the training part of
# LSP Extended; it is packed into runs/state/photos once. An hour and a half of one core without AVX-512. The shipped weights
# took this road with a rate and a share of photographs that were changed on the way (6e-4 to 9e-4, 0.45 to 0.5), as the model
# card tells. Run it again after a kill: it goes on.
set -eu
start=${1:?expected a model folder to start from, and a folder with images/ and joints.json}
photos=${2:?expected a folder with images/ and joints.json after the model folder}
cd "$(dirname "$0")/.."
run=${3:-runs/state/photos-run}
packed=runs/state/photos
scripts/train-env
depthhmr=.venv/bin/depthhmr

# under another name first: what a kill leaves must not be trained on
if ! test -d $packed; then
    rm -rf $packed.part
    $depthhmr data pack lsp "$photos" --out $packed.part
    mv $packed.part $packed
fi
$depthhmr train --preset tiny --run "$run" --init "$start" --mix "$packed=0.5" \
    --images 30000 --decay-from 0.6 --learning-rate 7e-4 --adapt-lifter 2500
# half of the way keeps the scores on rendered people and most of what was learned of photographs
$depthhmr export --run "$run" --blend "$start=0.5" --model-dir "$run/model" --threshold 0.5
echo "the model lies in $run/model"
