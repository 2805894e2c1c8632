"""The generator of the training data: pictures of people with full ground truth.

A picture is a pure function of its seed: `Generator(body, size).sample(seed)` gives the same bytes in any process and
in any order.
With backdrops it also depends on their bytes: people stay the same, place and light change.
"""

from dataclasses import dataclass, fields

import numpy as np
from PIL import Image, ImageFilter

from bodykit.body import Body
from bodykit.camera import Intrinsics
from bodykit.letterbox import PAD_GREY
from bodykit.raster import draw, project, vertex_normals
from bodykit.skinning import pose_vertices
from depthhmr.synth.backdrops import DRESSED, FURNISHED, Backdrop, Backdrops, cover, shine
from depthhmr.synth.background import beyond_floor, measure, paint, sample_place
from depthhmr.synth.clothing import part_of_vertex, wear
from depthhmr.synth.crowd import FARTHEST, NEAREST, Crowd, sample_crowd
from depthhmr.synth.degrade import degrade, grain_table
from depthhmr.synth.lighting import sample_light
from depthhmr.synth.look import LOOK, sample_look
from depthhmr.synth.pose_kinds import KINDS
from depthhmr.synth.props import Props, Seat, furnish
from depthhmr.synth.shading import People, Picture, Raster, SceneMesh, Things, shade
from depthhmr.synth.silhouette import cast, coarse_faces, silhouette
from depthhmr.synth.standing import lowest
from depthhmr.synth.texture import noise_tables
from depthhmr.synth.wardrobe import BAG, BODY, HAIR, HAIR_ROWS, HAT, SKIRT, SKIRT_ROWS, Wardrobe, dress

SEATED = np.array([kind.name == "sit" for kind in KINDS])
SAMPLES = 2  # the scene is rasterised with 2 x 2 samples per pixel


@dataclass(frozen=True)
class Sample:
    """One picture of S x S pixels and the P people in it, in no order; camera frame, metres.

    Hidden people stay in the arrays, with a low `visible`.
    """

    rgb: np.ndarray  # uint8 [S, S, 3]
    depth: np.ndarray  # float32 [S, S], people only, 0 elsewhere
    person: np.ndarray  # uint8 [S, S]: 0 background, i + 1 person i
    intrinsics: np.ndarray  # float32 [4]: fx, fy, cx, cy in pixels
    rotations: np.ndarray  # float32 [P, 24, 3, 3], joint 0 into the camera frame
    betas: np.ndarray  # float32 [P, 10]
    translation: np.ndarray  # float32 [P, 3]: the pelvis
    joints_3d: np.ndarray  # float32 [P, 24, 3]
    joints_2d: np.ndarray  # float32 [P, 24, 2] pixels
    boxes: np.ndarray  # float32 [P, 4]: x0, y0, x1, y1 of the whole dressed person, not clipped at the border
    visible: np.ndarray  # float32 [P]: visible share of the whole silhouette
    height_px: np.ndarray  # float32 [P]: height of the box
    whole_depth: np.ndarray | None = None  # float32 [S, S], of everything, 0 outside the picture; on request

    @property
    def people(self) -> int:
        return len(self.betas)

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name."""
        arrays = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: array for name, array in arrays.items() if array is not None}


@dataclass(frozen=True)
class View:
    """The camera of one picture: tilt, height, lens, and the box of the picture."""

    tilt: np.ndarray  # [3, 3] level frame to camera frame
    ground: np.float32  # metres from the camera down to the floor
    lens: np.ndarray  # [4] fx, fy, cx, cy
    box: np.ndarray  # [4] left, top, right, bottom pixels


class Generator:
    """Makes pictures of `size` x `size` pixels with people of one body model, with the depth of everything on request.

    `backdrops` puts photographs behind a share of the pictures; their depth is unknown, so they exclude `whole_depth`.
    """

    def __init__(
        self, body: Body, size: int = 192, *, whole_depth: bool = False, backdrops: Backdrops | None = None
    ) -> None:
        if size < 32:
            raise ValueError(f"expected a picture side of at least 32 pixels, got {size}")
        if whole_depth and backdrops is not None:
            raise ValueError("expected backdrops or whole_depth, got both: the depth of a photograph is unknown")
        self.body = body
        self.size = size
        self.whole_depth = whole_depth
        self.backdrops = backdrops
        self.wardrobe = dress(body)
        self.part_of_vertex = part_of_vertex(self.wardrobe)
        self.tables = noise_tables()
        self.grain = grain_table()
        self._faces_of: dict[int, np.ndarray] = {}
        rest = self.wardrobe.rest[: self.wardrobe.bare_vertices]
        self._outline = coarse_faces(rest, body.faces)  # for shadows and silhouettes
        # the buttocks and upper thighs, which touch a seat
        self._seat = np.nonzero((np.abs(rest[:, 1] + 0.12) < 0.07) & (rest[:, 2] < 0))[0]

    def sample(self, seed: int) -> Sample:
        """The picture of a seed (any non-negative integer)."""
        rng = np.random.Generator(np.random.PCG64(seed))
        size = self.size
        crowd = _apart(rng, sample_crowd(rng, self.body, 1, size))
        tilt, ground = crowd.tilt[0], float(crowd.height[0])
        lens = crowd.lenses.intrinsics()[0]
        camera = Intrinsics(*(float(value) for value in lens))
        box = crowd.lenses.content[0]
        people = len(crowd.owner)
        looks = np.array([sample_look(rng) for _ in range(people)], LOOK) if people else np.zeros(0, LOOK)

        rotations = crowd.rotations.copy()
        rotations[:, 0] = tilt @ rotations[:, 0]
        vertices, joints = pose_vertices(self.wardrobe.body, crowd.betas, rotations, np.zeros((people, 3), np.float32))
        pelvis, seats = self._grounded(crowd, vertices)
        translation = (pelvis @ tilt.T).astype(np.float32)
        vertices += translation[:, None]
        joints += translation[:, None]
        normals = self._dress(vertices, looks)

        props = furnish(rng, crowd, seats, crowd.lenses)
        light, toward = sample_light(rng, tilt)
        place = sample_place(rng, float(pelvis[:, 2].max()) if people else 4.0)
        view = View(tilt, np.float32(ground), lens, box)
        shadow = self._shadow(rng, vertices, props, view, toward, float(light["sun"].mean()))
        backdrop = self._backdrop(seed, box, looks, props, place, light)
        rgb, depth, person, covered, whole = self._render(
            vertices, normals, props, view, looks, place, light, shadow, backdrop
        )
        inside = (slice(box[1], box[3]), slice(box[0], box[2]))
        picture = np.full((size, size, 3), PAD_GREY, np.uint8)
        picture[inside] = degrade(rng, rgb[inside], self.grain, size)

        boxes, areas = self._silhouettes(vertices, looks, camera)
        return Sample(
            rgb=picture,
            depth=depth,
            person=person,
            intrinsics=lens,
            rotations=rotations,
            betas=crowd.betas,
            translation=translation,
            joints_3d=joints,
            joints_2d=camera.project_clamped(joints).astype(np.float32),
            boxes=boxes,
            visible=(covered / SAMPLES**2 / np.maximum(areas, 1e-6)).clip(0, 1).astype(np.float32),
            height_px=boxes[:, 3] - boxes[:, 1],
            whole_depth=whole,
        )

    def _grounded(self, crowd: Crowd, vertices: np.ndarray) -> tuple[np.ndarray, list[Seat]]:
        """Pelvises [P, 3] of people who stand on their lowest vertex, not on their lowest joint; and the seats they need.

        vertices [P, V, 3] have the pelvis at the origin.
        """
        ground, up = float(crowd.height[0]), crowd.tilt[0] @ np.array([0, -1, 0], np.float32)
        pelvis = crowd.pelvis.copy()
        seats: list[Seat] = []
        for i in range(len(vertices)):
            bottom = lowest(vertices[i, : self.wardrobe.bare_vertices], up)
            pelvis[i, 1] = ground + bottom - crowd.lift[i]
            if SEATED[crowd.kind[i]]:
                seats.append((pelvis[i], -crowd.yaw[i], lowest(vertices[i, self._seat], up) - bottom))
        return pelvis, seats

    def _dress(self, vertices: np.ndarray, looks: np.ndarray) -> np.ndarray:
        """Moves vertices [P, V, 3] in place to the surface of the clothes -> normals [P, V, 3]."""
        normals = np.empty_like(vertices)
        for i in range(len(vertices)):
            normals[i] = vertex_normals(vertices[i], self.wardrobe.faces)
            wear(vertices[i], normals[i], self.wardrobe.rest, self.part_of_vertex, looks[i], self.tables)
        return normals

    def _backdrop(
        self, seed: int, box: np.ndarray, looks: np.ndarray, props: Props, place: np.ndarray, light: np.ndarray
    ) -> Backdrop | None:
        """The photograph behind a picture, if any; light, looks and props adapt to it in place."""
        width, height = int(box[2] - box[0]), int(box[3] - box[1])
        drawn = None if self.backdrops is None else self.backdrops.draw(seed, width, height, self.size)
        if drawn is None:
            return None
        backdrop, rng = drawn
        shine(light, place, backdrop, rng)
        cover(place["floor_pattern"][None], rng, FURNISHED)
        cover(looks["top_pattern"], rng, DRESSED)
        cover(looks["bottom_pattern"], rng, DRESSED)
        cover(props.surfaces["pattern"], rng, FURNISHED)
        return backdrop

    def _render(
        self, vertices: np.ndarray, normals: np.ndarray, props: Props, view: View, looks: np.ndarray, place: np.ndarray,
        light: np.ndarray, shadow: np.ndarray, backdrop: Backdrop | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:  # fmt: skip
        """The float picture, depth, person ids, the number of visible samples per person, and the depth of everything."""
        size, wardrobe = self.size, self.wardrobe
        people, each, per_person = len(vertices), len(wardrobe.rest), len(wardrobe.faces)
        corners = np.concatenate([vertices.reshape(-1, 3), props.vertices @ view.tilt.T])
        directions = np.concatenate([normals.reshape(-1, 3), props.normals @ view.tilt.T])
        points = project(corners, *(float(value) * SAMPLES for value in view.lens))
        faces = np.concatenate([self._faces(people), props.faces + people * each])
        face = np.full((SAMPLES * size, SAMPLES * size), -1, np.int32)
        inverse_depth = np.zeros(face.shape, np.float32)
        for i in range(people):
            for part, first, last in worn(wardrobe, looks[i]):
                rows = slice(i * per_person + first, i * per_person + last)
                draw(points, faces[rows], rows.start, part == BODY, face, inverse_depth)
        draw(points, faces[people * per_person :], people * per_person, False, face, inverse_depth)
        rgb = np.zeros((size, size, 3), np.float32)
        tables = self.tables if backdrop is None else np.concatenate([self.tables, backdrop.cloth])
        if backdrop is None or backdrop.floor:
            paint(place, view.tilt, view.ground, view.lens, view.box, face, shadow, tables, rgb)
        if backdrop is not None:
            left, top, right, bottom = view.box
            inside = (slice(top, bottom), slice(left, right))
            hung = beyond_floor(place, view.tilt, view.ground, view.lens, view.box) if backdrop.floor else True
            shown = backdrop.rgb * (1 - np.float32(backdrop.shadow) * shadow[inside][..., None])
            np.copyto(rgb[inside], shown, where=np.asarray(hung)[..., None])
        depth, person = np.zeros((size, size), np.float32), np.zeros((size, size), np.uint8)
        covered = np.zeros(people, np.int64)
        shade(
            Raster(face, inverse_depth, view.box),
            SceneMesh(points, faces, directions, corners),
            People(people, per_person, each, wardrobe.part_of_face, wardrobe.rest, looks),
            Things(props.local, props.surface_of_vertex, props.surfaces),
            light,
            view.ground,
            tables,
            Picture(rgb, depth, person, covered),
        )
        whole = None
        if self.whole_depth:
            whole = np.zeros((size, size), np.float32)
            measure(place, view.tilt, view.ground, view.lens, view.box, inverse_depth, depth, whole)
        return rgb, depth, person, covered, whole

    def _faces(self, people: int) -> np.ndarray:
        """Faces of `people` people with all their sheets, one after the other, int32."""
        if people not in self._faces_of:
            each = len(self.wardrobe.rest)
            blocks = [self.wardrobe.faces + i * each for i in range(people)]
            self._faces_of[people] = np.concatenate([*blocks, np.zeros((0, 3), np.int32)]).astype(np.int32)
        return self._faces_of[people]

    def _shadow(
        self, rng: np.random.Generator, vertices: np.ndarray, props: Props, view: View, toward: np.ndarray, sun: float
    ) -> np.ndarray:
        """Darkening of the floor at every pixel [S, S]: the cast shadow and a soft one below people."""
        size = self.size
        mask = np.zeros((size, size), np.float32)
        things = (props.vertices @ view.tilt.T).astype(np.float32)
        for direction, strength, blur in ((toward, 0.15 + 0.5 * sun, 0.4), (np.array([0, -1.0, 0]), 0.3, 2.0)):
            stencil = np.zeros((size // 2, size // 2), np.uint8)
            away, down = (view.tilt @ direction).astype(np.float32), np.ascontiguousarray(view.tilt[:, 1])
            for body in vertices:
                cast(body, self._outline, away, down, view.ground, view.lens, stencil)
            cast(things, props.faces, away, down, view.ground, view.lens, stencil)
            image = Image.fromarray(stencil).filter(ImageFilter.BoxBlur(blur * size / 192))
            image = image.resize((size, size), Image.Resampling.BILINEAR)
            layer = np.asarray(image, np.float32) * np.float32(strength * rng.uniform(0.6, 1.0) / 255)
            mask = 1 - (1 - mask) * (1 - layer)
        return mask

    def _silhouettes(
        self, vertices: np.ndarray, looks: np.ndarray, camera: Intrinsics
    ) -> tuple[np.ndarray, np.ndarray]:
        """Boxes [P, 4] of all worn vertices and areas [P] of whole silhouettes, in pixels, also beyond the border."""
        people = len(vertices)
        boxes, areas = np.zeros((people, 4), np.float32), np.zeros(people)
        for i in range(people):
            points = project(vertices[i], camera.fx, camera.fy, camera.cx, camera.cy)
            faces = self.wardrobe.faces
            sheets = [faces[first:last] for part, first, last in worn(self.wardrobe, looks[i]) if part != BODY]
            loose = np.concatenate([faces[:0], *sheets])
            areas[i] = silhouette(points, self.wardrobe.bare_vertices, self._outline, loose, boxes[i])
        return boxes, areas


def worn(wardrobe: Wardrobe, look: np.ndarray) -> list[tuple[int, int, int]]:
    """(part, first face, last face + 1) of everything a person wears, the body first."""
    result = [(BODY, *wardrobe.ranges[BODY])]
    for part, rows, total in ((SKIRT, int(look["skirt_rows"]), SKIRT_ROWS), (HAIR, int(look["hair_rows"]), HAIR_ROWS)):
        first, last = wardrobe.ranges[part]
        if rows:
            result.append((part, first, first + (last - first) * rows // total))
    first, last = wardrobe.ranges[HAT]
    if look["brim"] == 2:  # all around; a peak is the front quarter and drawn from the same ring
        result.append((HAT, first, last))
    elif look["brim"] == 1:
        ring = (last - first) // 2
        for row in (0, 1):
            start = first + row * ring
            result += [(HAT, start, start + ring // 6), (HAT, start + ring - ring // 6, start + ring)]
    if look["bag"]:
        result.append((BAG, *wardrobe.ranges[BAG]))
    return result


def _apart(rng: np.random.Generator, crowd: Crowd) -> Crowd:
    """Separates intersecting people in place: every pair keeps an arm's thickness."""
    pelvis = crowd.pelvis
    for i in range(1, len(pelvis)):
        for _ in range(8):
            gap = np.hypot(*(pelvis[:i, (0, 2)] - pelvis[i, (0, 2)]).T).min()
            if gap > 0.5:
                break
            push = rng.uniform(0.8, 1.6)
            pelvis[i, 2] = np.clip(pelvis[i, 2] + rng.normal(0, 0.9), NEAREST, FARTHEST)
            pelvis[i, 0] += rng.choice((-0.4, 0.4)) * push
    return crowd
