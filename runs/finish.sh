#!/bin/sh
# A trained run to a model folder that says its own scores: sh runs/finish.sh RUN. VAL and TEST are how many pictures of each
# split are looked at (default: 600 and all 1000).
set -eu
cd "$(dirname "$0")/.."
run=$1
depthhmr=.venv/bin/depthhmr

# the threshold is chosen on the validation split, never on the test split
$depthhmr export --run "$run" --model-dir "$run/model"
$depthhmr evaluate --split val --count "${VAL:-600}" --sweep --model-dir "$run/model" --json "$run/val.json"
threshold=$(.venv/bin/python -c "import json, sys; print(json.load(open(sys.argv[1]))['threshold'])" "$run/val.json")
$depthhmr export --run "$run" --model-dir "$run/model" --threshold "$threshold"
$depthhmr evaluate --split test --count "${TEST:-1000}" --model-dir "$run/model" --json "$run/scores.json"
$depthhmr export --run "$run" --model-dir "$run/model" --threshold "$threshold" --scores "$run/scores.json"
echo "the model lies in $run/model; copy it over model_repository/depthhmr to serve it by default"
