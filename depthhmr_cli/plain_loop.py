"""The work of one request without a service around it: what every service is measured against."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.settings import Settings


class PlainLoop:
    """Decode, letterbox, network, people, JSON, all on the calling thread; the network takes all threads that it may."""

    def __init__(self, settings: "Settings") -> None:
        from bodykit.body import load_body
        from bodykit.manifest import Manifest
        from service.decoding.images import ImageLimits
        from service.engines.embedded import EmbeddedEngine
        from service.options import Options

        self._manifest = Manifest.read(settings.model_dir).choose(settings.model_variant)
        self._body = load_body(settings.body)
        self._limits, self._options, self._max_people = ImageLimits(), Options(), settings.max_people
        self._engine = EmbeddedEngine.open(settings, self._manifest, settings.model_dir)

    def __call__(self, content: bytes) -> bytes:
        """An encoded image -> the JSON reply."""
        from service.decoding.images import decode
        from service.formats.formats import Job, write_json
        from service.people import select_people
        from service.results import Recovery

        picture = decode(content, size=self._manifest.input_size, limits=self._limits)
        camera = self._options.camera(picture.width, picture.height, picture.focal)
        intrinsics = picture.box.intrinsics(camera.intrinsics).array()
        outputs = self._engine.run({"image": picture.square[None], "intrinsics": intrinsics[None]})
        people = select_people(
            {name: values[0] for name, values in outputs.items()},
            body=self._body,
            camera=camera.intrinsics,
            box=picture.box,
            threshold=self._manifest.threshold,
            max_people=self._max_people,
        )
        recovery = Recovery(content, picture.width, picture.height, camera, people)
        return write_json(Job(recovery, self._manifest, self._body, self._limits, "loop"))
