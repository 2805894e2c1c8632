#!/bin/sh
# The default network: MoveNet's backbone, rendered people, and photographs.
#   sh runs/tiny.sh PHOTOS [RUN]
# PHOTOS is a folder with packed photographs as subfolders: people/ (2D joints) and empty/ (nobody), for example
#   depthhmr data pack lsp lspet_train --size 224 --out PHOTOS/people
#   depthhmr data pack nobody holiday/empty --size 224 --out PHOTOS/empty
# Some 15 views a second of one core. Run it again after a kill: it goes on. The shipped weights were not made in one
# run: the model card tells the steps.
set -eu
photos=${1:?expected a folder with packed photographs, people/ and empty/}
cd "$(dirname "$0")/.."
scripts/train-env
run=${2:-runs/state/tiny}
depthhmr=.venv/bin/depthhmr
movenet=runs/state/movenet.npz

test -f $movenet || scripts/install-movenet $movenet
$depthhmr train --preset tiny --run "$run" --backbone-weights $movenet --workers 2 --render-size 224 \
    --mix "$photos/people=0.4" --mix "$photos/empty=0.1" --images 200000 --decay-from 0.6 --learning-rate 1e-3 --adapt-lifter 5000
sh runs/finish.sh "$run"
