#!/bin/sh
# Do photographs as places help on photographs? The shipped network trained on twice, from the same seeds, people and steps:
# once before drawn places alone, once with backdrops behind half of its rendered people; then both are scored.
#   sh runs/backdrops.sh [images]        8000 by default: about 20 minutes of one quiet core for each of the two
# Needs runs/state/photos (runs/photos.sh packs them) and LSP Extended's validation part. Run it again after a kill: it goes on.
set -eu
cd "$(dirname "$0")/.."
images=${1:-8000}
photos=${PHOTOS:-../shared/data/lspet_val}
scripts/train-env
depthhmr=.venv/bin/depthhmr
state=runs/state
test -d $state/backdrops || scripts/install-backdrops

# Eight photographs are for the score of false people alone.
if ! test -d $state/backdrops-kept; then
    mkdir -p $state/backdrops-train $state/backdrops-kept
    cp $state/backdrops/*.* $state/backdrops-train/
    for name in Wine aitzgorri friends_by EveningGlow Grey Storm brick china; do
        mv $state/backdrops-train/*$name* $state/backdrops-kept/
    done
fi

# The same 5120 seeds for both, rendered once: renderers that go on would show each run other pictures.
.venv/bin/python - $state <<'END'
import sys
from pathlib import Path

from depthhmr.shards import SHARD, render_shard
from depthhmr.synth.backdrops import Backdrops

state = Path(sys.argv[1])
behind = {"plain": None, "half": Backdrops(state / "backdrops-train", 0.5)}
for name, backdrops in behind.items():
    for index in range(10):
        render_shard(state / f"backdrops-{name}" / "shards", 6_000_128 + SHARD * index, SHARD, 192, backdrops=backdrops)
END
.venv/bin/python runs/cuttings.py $state/backdrops-kept $state/backdrops-empty 200

for name in plain half; do
    run=$state/backdrops-$name
    if [ $name = half ]; then set -- --backdrops $state/backdrops-train; else set --; fi
    $depthhmr train --preset tiny --run $run --init model_repository/depthhmr --size 160 --mix $state/photos=0.5 \
        --images "$images" --decay-from 0.6 --learning-rate 7e-4 --validate-every "$images" --seed 1 \
        --renderers 0 --shards 10 --first-shards 8 "$@"
    $depthhmr export --run $run --model-dir $run/model --threshold 0.5
    $depthhmr evaluate --photos "$photos" --people-free $state/backdrops-empty --model-dir $run/model --json $run/photos.json
    $depthhmr evaluate --split val --count 500 --model-dir $run/model --json $run/val.json
done
