"""What most people write: a route that is a plain function, which FastAPI runs in its pool of threads."""

import sys
from typing import Annotated

import uvicorn
from fastapi import Body, FastAPI, Response

from depthhmr_cli.plain_loop import PlainLoop
from service.settings import load_settings

app = FastAPI()
work = PlainLoop(load_settings({}))


@app.post("/reconstruct")
def reconstruct(image: Annotated[bytes, Body(media_type="image/jpeg")]) -> Response:
    return Response(work(image), media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
