"""Writes results as messages, in the outputs that a request asks for."""

from collections.abc import Mapping
from dataclasses import dataclass

from service.formats.formats import Job, write_glb
from service.recovery import MeshRecovery
from service.results import Recovery
from service.rpc.messages import reconstruction_to
from service.rpc.pb import reconstruction_pb2 as pb


@dataclass(frozen=True, eq=False)
class ReplyWriter:
    """`outputs` are values of pb.Output."""

    core: MeshRecovery
    outputs: frozenset[int]
    request_id: str

    @property
    def needs_vertices(self) -> bool:
        return bool({pb.OUTPUT_VERTICES, pb.OUTPUT_GLB} & self.outputs)

    def write(self, recovery: Recovery, track_ids: Mapping[int, int] | None = None) -> pb.Reconstruction:
        glb = b""
        if pb.OUTPUT_GLB in self.outputs:
            core = self.core
            glb = write_glb(Job(recovery, core.manifest, core.body, core.limits, self.request_id))
        return reconstruction_to(recovery, self.outputs, glb=glb, track_ids=track_ids)
