#!/bin/sh
# What small.sh and base.sh have in common: sh runs/dinov2.sh PRESET WEIGHTS RUN [options of depthhmr train]
set -eu
cd "$(dirname "$0")/.."
if [ $# -lt 3 ]; then
    echo "usage: sh runs/$1.sh WEIGHTS RUN [options of depthhmr train]" >&2
    exit 2
fi
preset=$1 weights=$2 run=$3
shift 3
train=.venv/bin/depthhmr
[ "${GPUS:-1}" -eq 1 ] || train=".venv/bin/torchrun --nproc-per-node $GPUS -m -- depthhmr_cli"

# A cache of 30,720 rendered samples: 16 GB at 320 pixels, 31 GB at 448. Pictures of other sizes are brought to the network's.
$train train --preset "$preset" --run "$run" --backbone-weights "$weights" \
    --render-size "${RENDER_SIZE:-320}" --shards 60 --renderers 4 --adapt-lifter 5000 "$@"
sh runs/finish.sh "$run"
