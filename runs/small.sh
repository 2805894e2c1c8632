#!/bin/sh
# The small network: DINOv2 ViT-S/14 at 448 pixels, for a GPU. GPU hours: unknown, nobody has run it to its end yet.
#   sh runs/small.sh dinov2_vits14_pretrain.pth runs/state/small --mix shards/bedlam=0.5 --mix shards/agora=0.2
# What follows the folder goes to `depthhmr train` and overrides what is said here. GPUS=8 shares each step among eight GPUs.
# Run it again after a kill: it goes on. docs/training.md tells of data, memory and what each number stands for.
set -eu
cd "$(dirname "$0")/.."
exec sh runs/dinov2.sh small "$@"
