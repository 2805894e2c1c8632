"""Opens people in Blender, and lays their photo behind the photo's camera. Runs inside the user's own Blender (3.4 or newer).

    depthhmr reconstruct photo.jpg -o people.glb --rig smpl
    blender --python lay_over_photo.py -- people.glb photo.jpg
    blender --background --python lay_over_photo.py -- people.glb photo.jpg --save people.blend --render people.png

A .npz of SMPL parameters becomes an armature that moves: `-- person.npz`. Give several files, one photo.
"""

import argparse
import math
import sys
from pathlib import Path

import bpy
import mathutils
import numpy as np

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
BONE_M = 0.08  # length that bones are drawn with


def main() -> None:
    if "bool" not in vars(np):
        np.bool = (
            bool  # the glTF importer of Blender 3.4 wants it, and numpy 1.24, which Debian pairs with it, lacks it
        )
    args = read_arguments(sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else [])
    bpy.ops.wm.read_homefile(use_empty=True)
    for path in args.files:
        if path.suffix.lower() == ".npz":
            add_armature(path)
        elif path.suffix.lower() in (".glb", ".gltf"):
            bpy.ops.import_scene.gltf(filepath=str(path))
    camera = next((item for item in bpy.data.objects if item.type == "CAMERA"), None)
    if camera is not None:
        bpy.context.scene.camera = camera
        photo = next((path for path in args.files if path.suffix.lower() in PHOTO_SUFFIXES), None)
        set_up_camera(camera, photo)
    if args.save:
        bpy.ops.wm.save_as_mainfile(filepath=str(args.save.resolve()))
    if args.render:
        render(args.render)


def read_arguments(arguments: list) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="blender --python lay_over_photo.py --", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help=".glb or .npz files of people, and the photo")
    parser.add_argument("--save", type=Path, help="write a .blend file")
    parser.add_argument("--render", type=Path, help="write a PNG of the people, to be laid over the photo")
    args = parser.parse_args(arguments)
    if missing := [str(path) for path in args.files if not path.is_file()]:
        parser.error(f"no such file: {', '.join(missing)}")
    return args


def set_up_camera(camera, photo: "Path | None") -> None:
    """Shift of the lens and size of the picture from the extras that the GLB has; the photo as background."""
    lens, scene = camera.data, bpy.context.scene
    given = {name: lens.get(name, camera.get(name)) for name in ("fx", "fy", "cx", "cy", "width", "height")}
    if all(value is not None for value in given.values()):
        width, height = int(given["width"]), int(given["height"])
        scene.render.resolution_x, scene.render.resolution_y = width, height
        scene.render.pixel_aspect_x = max(1.0, given["fy"] / given["fx"])
        scene.render.pixel_aspect_y = max(1.0, given["fx"] / given["fy"])
        across, down = width * scene.render.pixel_aspect_x, height * scene.render.pixel_aspect_y
        # Blender measures the shift in the side of the picture that the sensor is fitted to.
        fitted = {"HORIZONTAL": across, "VERTICAL": down}.get(lens.sensor_fit, max(across, down))
        lens.shift_x = (0.5 - given["cx"] / width) * across / fitted
        lens.shift_y = (given["cy"] / height - 0.5) * down / fitted
    if photo is not None:
        background = lens.background_images.new()
        background.image = bpy.data.images.load(str(photo.resolve()))
        background.frame_method = "STRETCH"
        lens.show_background_images = True
    lens.display_size = 0.2


def add_armature(path: Path) -> None:
    """An armature with a keyframe per frame of SMPL parameters."""
    with np.load(path, allow_pickle=False) as file:
        poses, places = file["poses"].reshape(-1, 24, 3), file["trans"]
        names, parents = [str(name) for name in file["joint_names"]], file["parents"].tolist()
        heads = [mathutils.Vector(place) for place in file["rest_joints"].tolist()]
        bpy.context.scene.render.fps = max(1, round(float(file["mocap_frame_rate"])))
    bpy.ops.object.armature_add(enter_editmode=True)
    armature = bpy.context.object
    armature.name = path.stem
    bones = armature.data.edit_bones
    bones.remove(bones[0])
    for joint, name in enumerate(names):
        bone = bones.new(name)
        # Every bone points up, so that its own axes are those of the rest pose, in which SMPL turns joints.
        bone.head, bone.tail = heads[joint], heads[joint] + mathutils.Vector((0, BONE_M, 0))
        if parents[joint] >= 0:
            bone.parent = bones[names[parents[joint]]]
    bpy.ops.object.mode_set(mode="POSE")
    for frame, (pose, place) in enumerate(zip(poses, places, strict=True)):
        for joint, name in enumerate(names):
            bone, turn = armature.pose.bones[name], mathutils.Vector(pose[joint])
            bone.rotation_mode = "QUATERNION"
            axis = turn.normalized() if turn.length else mathutils.Vector((0, 1, 0))
            bone.rotation_quaternion = mathutils.Quaternion(axis, turn.length)
            bone.keyframe_insert("rotation_quaternion", frame=frame)
        root = armature.pose.bones[names[0]]
        root.location = place
        root.keyframe_insert("location", frame=frame)
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.context.scene.frame_end = max(1, len(poses) - 1)


def render(target: Path) -> None:
    """The people as the photo's camera sees them, by the engine that needs no window; transparent around them."""
    scene = bpy.context.scene
    scene.render.engine, scene.cycles.samples, scene.cycles.device = "CYCLES", 8, "CPU"
    scene.cycles.use_denoising = False  # Debian's Blender is built without the denoiser
    scene.render.film_transparent = True
    light = bpy.data.lights.new("sun", "SUN")
    light.energy = 3.0
    sun = bpy.data.objects.new("sun", light)
    sun.rotation_euler = (math.radians(60), 0, math.radians(20))
    scene.collection.objects.link(sun)
    scene.render.filepath = str(target.resolve())
    scene.render.image_settings.file_format = "PNG"
    bpy.ops.render.render(write_still=True)


if __name__ == "__main__":
    main()
