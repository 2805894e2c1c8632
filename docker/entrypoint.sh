#!/bin/sh
# numba refuses to work without a cache folder that it can write, and the image's own is not (read-only root, not our
# user's). So the compiled kernels that came with the image are copied to the writable one: 0.3 MB.
set -eu
if ! { mkdir -p "$NUMBA_CACHE_DIR" && cp -R /srv/numba-cache/. "$NUMBA_CACHE_DIR"; } 2>/dev/null; then
    echo "depthhmr: $NUMBA_CACHE_DIR cannot be written; with a read-only root give the container a tmpfs: --tmpfs /tmp" >&2
    exit 2
fi
exec "$@"
