#!/bin/sh
# gRPC from a shell: grpc.sh 127.0.0.1:50051 photo.jpg
# buf (https://buf.build; `pip install buf-bin`) takes the messages as JSON, in which bytes are base64. With grpcurl:
#   grpcurl -plaintext -import-path proto -proto depthhmr/v1/reconstruction.proto -d @ ADDRESS METHOD < messages.json
set -eu
cd "$(dirname "$0")/../.."
address=$1 photo=$2
call() {
    buf curl --schema proto --protocol grpc --http2-prior-knowledge "$@"
}
service="http://$address/depthhmr.v1.ReconstructionService"

echo "What is loaded:"
call "$service/GetInfo" --data '{}'

echo "One image:"
image=$(base64 -w 0 "$photo")
printf '{"image": "%s", "options": {"fov_degrees": 55}}' "$image" | call "$service/Reconstruct" --data @-

echo "A stream of two: the config first, then the frames."
printf '{"config": {"tracking": {}}} {"frame": {"frame_id": 1, "image": "%s"}} {"frame": {"frame_id": 2, "image": "%s"}}' \
    "$image" "$image" | call "$service/ReconstructStream" --data @-
