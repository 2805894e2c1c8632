#!/bin/sh
# The base network: DINOv2 ViT-B/14 at 644 pixels, for GPUs. GPU hours: unknown, nobody has run it to its end yet.
#   GPUS=8 sh runs/base.sh dinov2_vitb14_pretrain.pth runs/state/base --mix shards/bedlam=0.5 --mix shards/agora=0.2
# What follows the folder goes to `depthhmr train` and overrides what is said here. GPUS=8 shares each step among eight GPUs.
# Run it again after a kill: it goes on. docs/training.md tells of data, memory and what each number stands for.
set -eu
cd "$(dirname "$0")/.."
export RENDER_SIZE=448
exec sh runs/dinov2.sh base "$@"
