#!/bin/sh
# The default network from nothing: about two hours of two quiet cores. Run it again after a kill: it goes on.
# The shipped weights took this road with two changes on the way, which the model card tells.
set -eu
cd "$(dirname "$0")/.."
scripts/train-env
run=${1:-runs/state/tiny}
depthhmr=.venv/bin/depthhmr

# small pictures first: twice as many steps in the same time, at a constant rate
$depthhmr train --preset tiny --run "$run" --workers 2 --size 128 --images 147000 --decay-from 1
# then larger ones, for far people and for limbs, with the rate falling at the end
$depthhmr train --preset tiny --run "$run" --workers 2 --images 272000 --decay-from 0.7 --adapt-lifter 5000

sh runs/finish.sh "$run"
