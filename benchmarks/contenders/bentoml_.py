"""BentoML: `bentoml serve bentoml_:Reconstruct`; WORKERS processes by the environment."""

import os
from pathlib import Path
from typing import Annotated

import bentoml
from bentoml.validators import ContentType

from depthhmr_cli.plain_loop import PlainLoop
from service.settings import load_settings

WORKERS = int(os.environ["WORKERS"])


@bentoml.service(workers=WORKERS, traffic={"timeout": 60})
class Reconstruct:
    def __init__(self) -> None:
        self.work = PlainLoop(load_settings({"threads": 0 if WORKERS == 1 else 1}))

    @bentoml.api(route="/reconstruct")
    def reconstruct(
        self, image: Annotated[Path, ContentType("image/jpeg")]
    ) -> Annotated[bytes, ContentType("application/json")]:
        return self.work(image.read_bytes())
