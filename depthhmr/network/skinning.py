"""Posing the body in torch, differentiably. The twin of `bodykit.skinning`; the tests hold the two equal."""

import torch
from torch import Tensor, nn

from bodykit.body import JOINTS, Body, load_body
from bodykit.skinning import tree_levels


class BodyLayer(nn.Module):
    """Shape and rotations in, joints or vertices out. Always computes in float32, autocast or not.

    Has no parameters; its buffers are not saved, since the body file is their home.
    """

    def __init__(self, body: Body | None = None) -> None:
        super().__init__()
        body = load_body() if body is None else body
        self.name, self.version, self.sha256 = body.name, body.version, body.sha256

        def constant(name: str, value: Tensor) -> None:
            self.register_buffer(name, value, persistent=False)

        constant("template", torch.from_numpy(body.template))
        constant("shapedirs", torch.from_numpy(body.shapedirs).flatten(0, 1).T.contiguous())  # [10, V * 3]
        constant("joint_template", torch.from_numpy(body.joint_template))
        constant("joint_shapedirs", torch.from_numpy(body.joint_shapedirs).flatten(0, 1).T.contiguous())  # [10, 24 * 3]
        constant("faces", torch.from_numpy(body.faces).long())
        constant("weights", _dense_weights(body))
        constant("posedirs_vertex", torch.from_numpy(body.posedirs.rows_of_entries()))
        constant("posedirs_column", torch.from_numpy(body.posedirs.column).long())
        constant("posedirs_value", torch.from_numpy(body.posedirs.value))
        constant("parents", torch.tensor((0, *body.parents[1:])))
        # Pointer jumping: after step s a joint has composed its 2^s nearest ancestors, so four steps reach a depth of
        # 9 where a loop over tree levels would take nine. Index JOINTS stands for "above the root": the identity.
        jumps, ancestor = [], torch.tensor((JOINTS, *body.parents[1:], JOINTS))
        while bool((ancestor != JOINTS).any()):
            jumps.append(ancestor)
            ancestor = ancestor[ancestor]
        constant("jumps", torch.stack(jumps))
        assert 2 ** len(jumps) > len(tree_levels(body.parents)), "pointer jumping must reach the root from every leaf"

    def joints(self, betas: Tensor, rotations: Tensor, translation: Tensor) -> Tensor:
        """Joints [P, 24, 3] of P people in camera metres; no mesh is made.

        betas [P, 10]; rotations [P, 24, 3, 3] (joint 0 into the camera frame, the others relative to their parent);
        translation [P, 3]: where joint 0 ends up, exactly.
        """
        return self.frames(betas, rotations, translation)[1]

    def frames(self, betas: Tensor, rotations: Tensor, translation: Tensor) -> tuple[Tensor, Tensor]:
        """Orientations [P, 24, 3, 3] of all joints in camera axes, and `joints`, of the same arguments."""
        with _float32(betas):
            return self._chain(self._rest_joints(betas.float()), rotations.float(), translation.float())

    def vertices(self, betas: Tensor, rotations: Tensor, translation: Tensor) -> tuple[Tensor, Tensor]:
        """Vertices [P, V, 3] and joints [P, 24, 3]; arguments as for `joints`."""
        with _float32(betas):
            betas, rotations = betas.float(), rotations.float()
            rest_joints = self._rest_joints(betas)
            world, joints = self._chain(rest_joints, rotations, translation.float())
            features = (rotations[:, 1:] - torch.eye(3, device=rotations.device)).flatten(1)  # [P, 207]
            bends = features[:, self.posedirs_column, None] * self.posedirs_value  # [P, entries, 3]
            rest = self.template + (betas @ self.shapedirs).unflatten(1, (-1, 3))
            rest = rest.index_add(1, self.posedirs_vertex, bends)
            shift = joints - (world @ rest_joints[..., None])[..., 0]
            transforms = torch.cat([world, shift[..., None]], dim=-1).flatten(2)  # [P, 24, 12]
            blended = (self.weights @ transforms).unflatten(2, (3, 4))  # [P, V, 3, 4]
            vertices = (blended[..., :3] @ rest[..., None])[..., 0] + blended[..., 3]
            return vertices, joints

    def _rest_joints(self, betas: Tensor) -> Tensor:
        return self.joint_template + (betas @ self.joint_shapedirs).unflatten(1, (JOINTS, 3))

    def _chain(self, rest_joints: Tensor, rotations: Tensor, translation: Tensor) -> tuple[Tensor, Tensor]:
        """Camera-frame rotations [P, 24, 3, 3] and positions [P, 24, 3] of all joints."""
        bones = torch.cat([translation[:, None], rest_joints[:, 1:] - rest_joints[:, self.parents[1:]]], dim=1)
        local = torch.cat([rotations, bones[..., None]], dim=-1)  # [P, 24, 3, 4]
        nothing = local[:, :1] * 0 + torch.eye(
            3, 4, device=local.device
        )  # times 0: an exporter cannot fold the batch into it
        world = torch.cat([local, nothing], dim=1)  # [P, 25, 3, 4]
        for ancestor in self.jumps:
            above = world[:, ancestor]
            product = above[..., :3] @ world
            world = torch.cat([product[..., :3], product[..., 3:] + above[..., 3:]], dim=-1)
        return world[:, :JOINTS, :, :3], world[:, :JOINTS, :, 3]


def _dense_weights(body: Body) -> Tensor:
    """[V, 24] from the four joints per vertex."""
    weights = torch.zeros(len(body.template), JOINTS)
    return weights.scatter_add(1, torch.from_numpy(body.weight_index).long(), torch.from_numpy(body.weight_value))


def _float32(tensor: Tensor) -> torch.autocast:
    """Half-precision matrix products would move a hand by centimetres."""
    return torch.autocast(tensor.device.type, enabled=False)
