#!/bin/sh
# REST by curl: rest.sh http://127.0.0.1:8000 photo.jpg FOLDER
set -eu
address=$1 photo=$2 folder=$3
mkdir -p "$folder"

# A second attempt when the service is full or starting (503), never when it refuses; --retry honours Retry-After.
ask() { curl --silent --show-error --fail-with-body --retry 3 --max-time 30 "$@"; }

# People as JSON: the raw image as the body.
ask --data-binary "@$photo" -H 'Content-Type: image/jpeg' "$address/v1/reconstruct?fov_degrees=55" -o "$folder/people.json"
# A scene, and the photo with the people drawn over it: the same call, another Accept.
ask --data-binary "@$photo" -H 'Content-Type: image/jpeg' -H 'Accept: model/gltf-binary' "$address/v1/reconstruct" -o "$folder/scene.glb"
ask --data-binary "@$photo" -H 'Content-Type: image/jpeg' -H 'Accept: image/jpeg' "$address/v1/reconstruct" -o "$folder/overlay.jpg"

# A refusal is a document with a sentence, and an exit status of 22.
if ! ask --data-binary "@$photo" -H 'Content-Type: image/jpeg' "$address/v1/reconstruct?threshold=7" -o "$folder/problem.json"; then
    echo "refused: $(cat "$folder/problem.json")"
fi
ls -l "$folder"
