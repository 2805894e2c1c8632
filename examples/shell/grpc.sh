#!/bin/sh
# gRPC from a shell: grpc.sh 127.0.0.1:50051 photo.jpg
# buf (https://buf.build; `pip install buf-bin`) takes the messages as JSON, in which bytes are base64. With grpcurl:
#   grpcurl -plaintext -import-path proto -proto depthhmr/v1/reconstruction.proto -d @ ADDRESS METHOD < messages.json
set -eu
if [ $# -ne 2 ]; then
    echo "usage: $0 127.0.0.1:50051 photo.jpg" >&2
    exit 2
fi
if ! command -v buf >/dev/null; then
    echo "buf is not installed; run: pip install buf-bin (scripts/install dev puts it into .venv/bin)" >&2
    exit 1
fi
photo=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
cd "$(dirname "$0")/../.."
address=$1
call() {
    buf curl --schema proto --protocol grpc --http2-prior-knowledge "$@"
}
service="http://$address/depthhmr.v1.ReconstructionService"

echo "What is loaded:"
call "$service/GetInfo" --data '{}'

echo "One image:"
image=$(base64 -w 0 "$photo")
printf '{"image": "%s"}' "$image" | call "$service/Reconstruct" --data @-

echo "A stream of two: the config first, then the frames."
printf '{"config": {"tracking": {}}} {"frame": {"frame_id": 1, "image": "%s"}} {"frame": {"frame_id": 2, "image": "%s"}}' \
    "$image" "$image" | call "$service/ReconstructStream" --data @-
