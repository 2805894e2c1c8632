#!/bin/sh
# REST by curl: rest.sh http://127.0.0.1:8000 photo.jpg FOLDER
set -eu
if [ $# -ne 3 ]; then
    echo "usage: $0 http://127.0.0.1:8000 photo.jpg FOLDER" >&2
    exit 2
fi
if ! command -v curl >/dev/null; then
    echo "curl is not installed; on Debian and Ubuntu: apt-get install curl" >&2
    exit 1
fi
address=$1 photo=$2 folder=$3
mkdir -p "$folder"

# A second attempt when the service is full or starting (503), never when it refuses; --retry honours Retry-After.
ask() { curl --silent --show-error --fail-with-body --retry 3 --max-time 30 --data-binary "@$photo" -H 'Content-Type: image/jpeg' "$@"; }

# A refusal is a document with a sentence; with --fail-with-body curl's exit status would be 22.
status=$(curl --silent --data-binary "@$photo" -H 'Content-Type: image/jpeg' "$address/v1/reconstruct?threshold=7" \
    -o "$folder/problem.json" -w '%{http_code}')
echo "A threshold of 7 is refused, as it should be: HTTP $status $(cat "$folder/problem.json")"

# People as JSON: the raw image as the body.
ask "$address/v1/reconstruct" -o "$folder/people.json"
# A scene, and the photo with the people drawn over it: the same call, another Accept.
ask -H 'Accept: model/gltf-binary' "$address/v1/reconstruct" -o "$folder/scene.glb"
ask -H 'Accept: image/jpeg' "$address/v1/reconstruct" -o "$folder/overlay.jpg"
echo "Written: $folder/people.json, $folder/scene.glb, $folder/overlay.jpg"
