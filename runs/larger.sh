#!/bin/sh
# Do larger pictures, late, help? The arm without backdrops of runs/backdrops.sh once more, from the same weights, seeds and shards, at
# another side of the network's input.
#   PHOTOS=lspet_val sh runs/larger.sh [size] [images]        192 and 8000 by default: about 15 minutes of one quiet core
# PHOTOS as for runs/backdrops.sh, whose shards and cuttings this needs: run that first. Run it again after a kill: it goes on.
set -eu
: "${PHOTOS:?expected a folder with images/ and joints.json, such as the validation part of LSP Extended}"
cd "$(dirname "$0")/.."
size=${1:-192}
images=${2:-8000}
run=runs/state/larger-$size

test -d runs/state/backdrops-plain/shards || { echo "expected the shards of runs/backdrops.sh in runs/state/backdrops-plain: run it first" >&2; exit 1; }
mkdir -p "$run"
test -e "$run/shards" || ln -s ../backdrops-plain/shards "$run/shards"
sh runs/arm.sh "$run" "$size" "$images"
