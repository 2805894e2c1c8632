"""Many images at once: many_images.py http://127.0.0.1:8000 a.jpg b.jpg ...   (or grpc://127.0.0.1:50051)"""

import asyncio
import sys
from pathlib import Path

try:
    from service.client import AsyncClient, ClientError, DeadlineExceeded, RequestRefused, ServiceUnavailable
except ModuleNotFoundError as error:
    sys.exit(f"{error.name} is not installed here; run scripts/install client, and this with .venv/bin/python")

if len(sys.argv) < 3:
    sys.exit("usage: many_images.py http://127.0.0.1:8000 a.jpg b.jpg ...")

AT_ONCE = 4  # more would only wait at the service


async def main(address: str, photos: list[str]) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(client: AsyncClient, photo: str) -> str:
        async with gate:
            try:
                found = await client.reconstruct(Path(photo), timeout_s=20)
            except RequestRefused as error:  # this image is at fault, and stays so
                return f"refused ({error.reason}): {error}"
            except (ServiceUnavailable, DeadlineExceeded) as error:  # asked again already, as long as there was time
                return f"not now: {error}"
        return f"{len(found.people)} people in {found.width} x {found.height} pixels"

    async with AsyncClient(address) as client:
        answers = await asyncio.gather(*(one(client, photo) for photo in photos))
    for photo, answer in zip(photos, answers, strict=True):
        print(f"{photo}: {answer}")


try:
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
except ClientError as error:  # what concerns all images, such as a wrong address
    sys.exit(f"{type(error).__name__}: {error}")
