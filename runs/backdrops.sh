#!/bin/sh
# Do photographs as places help on photographs? The shipped network trained on twice, from the same seeds, people and steps:
# once before drawn places alone, once with backdrops behind half of its rendered people; then both are scored.
#   PHOTOS=lspet_val sh runs/backdrops.sh [images]        8000 by default: about 20 minutes of one quiet core for each of the two
# PHOTOS is the folder of photographs that the networks are scored on: images/ and joints.json, such as the validation part of
# LSP Extended. Trained on are those in runs/state/photos, which runs/photos.sh packs. Run it again after a kill: it goes on.
set -eu
: "${PHOTOS:?expected a folder with images/ and joints.json, such as the validation part of LSP Extended}"
cd "$(dirname "$0")/.."
images=${1:-8000}
state=runs/state
test -d $state/photos || { echo "expected photographs to train on in $state/photos: .venv/bin/depthhmr data pack lsp lspet_train --out $state/photos" >&2; exit 1; }
scripts/train-env
test -d $state/backdrops || scripts/install-backdrops

# Eight photographs are for the score of false people alone. They get their name last: cut in between, this begins anew, and none
# of them is trained on.
if ! test -d $state/backdrops-kept; then
    rm -rf $state/backdrops-train $state/backdrops-kept.part
    mkdir -p $state/backdrops-train $state/backdrops-kept.part
    cp $state/backdrops/*.* $state/backdrops-train/
    for name in Wine aitzgorri friends_by EveningGlow Grey Storm brick china; do
        mv $state/backdrops-train/*$name* $state/backdrops-kept.part/
    done
    mv $state/backdrops-kept.part $state/backdrops-kept
fi

# The same 5120 seeds for both, rendered once: renderers that go on would show each run other pictures.
.venv/bin/python - $state <<'END'
import sys
from pathlib import Path

from depthhmr.data.shards import SHARD, render_shard
from depthhmr.synth.backdrops import Backdrops

state = Path(sys.argv[1])
behind = {"plain": None, "half": Backdrops(state / "backdrops-train", 0.5)}
for name, backdrops in behind.items():
    for index in range(10):
        render_shard(state / f"backdrops-{name}" / "shards", 6_000_128 + SHARD * index, SHARD, 192, backdrops=backdrops)
END
.venv/bin/python runs/cuttings.py $state/backdrops-kept $state/backdrops-empty 200

sh runs/arm.sh $state/backdrops-plain 160 "$images"
sh runs/arm.sh $state/backdrops-half 160 "$images" --backdrops $state/backdrops-train
