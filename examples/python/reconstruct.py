"""One image over REST: reconstruct.py http://127.0.0.1:8000 photo.jpg"""

import sys
from pathlib import Path

try:
    from service.client import Client, ClientError
except ModuleNotFoundError as error:
    sys.exit(f"{error.name} is not installed here; run scripts/install client, and this with .venv/bin/python")

if len(sys.argv) != 3:
    sys.exit("usage: reconstruct.py http://127.0.0.1:8000 photo.jpg")

address, photo = sys.argv[1:]
try:
    with Client(address) as client:
        found = client.reconstruct(Path(photo))
except ClientError as error:
    sys.exit(f"{type(error).__name__}: {error}")

print(f"{len(found.people)} people, camera {found.camera.source}, focal length {found.camera.fx:.0f} px")
for person in found.people:
    x, y, z = person.translation
    print(f"{person.id}: score {person.score:.2f}, {person.height_m:.2f} m tall, at x {x:.2f} y {y:.2f} z {z:.2f} m")
