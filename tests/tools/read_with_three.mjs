// Reads a .glb from stdin with three.js and prints as JSON what it shows at some times of its animation.
// Arguments: the folder of the package, and the times as a JSON list (null: the file as it is, without its animation).
// Bounds are kept from the first look on, as WebGLRenderer keeps them.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, times] = process.argv.slice(2);
const load = (path) => import(pathToFileURL(`${folder}/${path}`));
const THREE = await load("build/three.module.js");
const { GLTFLoader } = await load("examples/jsm/loaders/GLTFLoader.js");

const content = readFileSync(0);
const bytes = content.buffer.slice(content.byteOffset, content.byteOffset + content.byteLength);
const gltf = await new GLTFLoader().parseAsync(bytes, "");
const mixer = new THREE.AnimationMixer(gltf.scene);
for (const clip of gltf.animations) mixer.clipAction(clip).play();

const round = (vector) => vector.toArray().map((x) => Number(x.toFixed(6)));

// A camera of 60 degrees at `from` that looks at `to`: whether culling leaves the mesh.
function isDrawn(mesh, from, to) {
  const camera = new THREE.PerspectiveCamera(60, 1, 0.05, 100);
  camera.position.copy(from);
  camera.lookAt(to);
  camera.updateMatrixWorld();
  const view = new THREE.Matrix4().multiplyMatrices(camera.projectionMatrix, camera.matrixWorldInverse);
  return new THREE.Frustum().setFromProjectionMatrix(view).intersectsObject(mesh);
}

function person(mesh) {
  const joints = mesh.skeleton.bones.map((bone) => bone.getWorldPosition(new THREE.Vector3()));
  const points = mesh.geometry.attributes.position;
  const corner = Array.from({ length: points.count }, (_, i) => i).filter((i) => i % 100 === 0);
  const pelvis = joints[0];
  return {
    name: mesh.name,
    scale: mesh.skeleton.bones[0].scale.x,
    drawn_by_photo_camera: isDrawn(mesh, new THREE.Vector3(), new THREE.Vector3(0, 0, -1)),
    drawn_from_beside: isDrawn(mesh, pelvis.clone().add(new THREE.Vector3(3, 0, 0)), pelvis),
    radius: mesh.boundingSphere.radius,
    centre: round(mesh.boundingSphere.center),
    joint_names: mesh.skeleton.bones.map((bone) => bone.name),
    joints: joints.map(round),
    vertices: corner.map((i) => round(mesh.localToWorld(mesh.getVertexPosition(i, new THREE.Vector3())))),
  };
}

const shown = JSON.parse(times).map((time) => {
  if (time !== null) mixer.setTime(time);
  gltf.scene.updateMatrixWorld(true);
  const meshes = [];
  gltf.scene.traverse((node) => node.isSkinnedMesh && meshes.push(node));
  return meshes.map(person);
});
const cameras = gltf.cameras.map(({ fov, aspect, near, userData }) => ({ fov, aspect, near, userData }));
console.log(JSON.stringify({ shown, cameras, animations: gltf.animations.length }));
