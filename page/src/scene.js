// The people in three dimensions: seen through the photo's own camera, or from anywhere.
import {
  AmbientLight,
  BufferAttribute,
  BufferGeometry,
  CanvasTexture,
  Color,
  DirectionalLight,
  GridHelper,
  Group,
  Mesh,
  MeshStandardMaterial,
  PerspectiveCamera,
  Raycaster,
  Scene,
  Sprite,
  SpriteMaterial,
  Vector2,
  Vector3,
  WebGLRenderer,
} from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { colourOf } from "./colours.js";

const NEAR_M = 0.05;
const FAR_M = 500;
const GRID_M = 20;
const HEAD = 15; // of the 24 joints
const ABOVE_HEAD_M = 0.3;

export class View {
  // `onPick` gets the index of the person that was clicked, or -1; `onMove` runs after every picture that is drawn.
  constructor(canvas, { onPick, onMove }) {
    this.renderer = new WebGLRenderer({ canvas, alpha: true, antialias: true, preserveDrawingBuffer: true });
    this.canvas = canvas;
    this.onMove = onMove;
    this.scene = new Scene();
    this.people = [];
    this.ground = new Group();
    this.scene.add(this.ground, new AmbientLight(0xffffff, 1.2), this.#light());
    this.photoCamera = new PerspectiveCamera();
    this.freeCamera = new PerspectiveCamera(50, 1, NEAR_M, FAR_M);
    this.controls = new OrbitControls(this.freeCamera, canvas);
    this.controls.addEventListener("change", () => this.draw());
    this.free = false;
    this.ground.visible = false;
    canvas.addEventListener("click", (event) => onPick(this.#personAt(event)));
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  show(reply, faces) {
    for (const mesh of this.people) {
      mesh.geometry.dispose();
      mesh.material.dispose();
      this.scene.remove(mesh);
    }
    this.reply = reply;
    this.people = reply.people.map((person, index) => meshOf(person, faces, colourOf(index)));
    if (this.people.length) this.scene.add(...this.people);
    this.#placeGround();
    this.#resetFree();
    this.setFree(false);
  }

  setFree(free) {
    this.free = free;
    this.controls.enabled = free;
    this.ground.visible = free;
    this.canvas.style.touchAction = free ? "none" : "auto"; // the page scrolls where nothing is turned
    this.draw();
  }

  // `shown` says of each person whether they are; `selected` is an index or -1; `opacity` is that on the photo.
  style({ shown, selected, opacity }) {
    this.people.forEach((mesh, index) => {
      mesh.visible = shown[index];
      mesh.material.transparent = !this.free && opacity < 1;
      mesh.material.opacity = this.free ? 1 : opacity;
      mesh.material.emissive = new Color(index === selected ? colourOf(index) : 0);
      mesh.material.emissiveIntensity = 0.55;
    });
    this.draw();
  }

  // Where a person's head is on the canvas, in CSS pixels; null behind the camera.
  headOf(index) {
    const [x, y, z] = this.reply.people[index].joints_3d[HEAD];
    const point = new Vector3(x, -y + ABOVE_HEAD_M, -z).applyMatrix4(this.#camera().matrixWorldInverse);
    if (point.z > -NEAR_M) return null;
    point.applyMatrix4(this.#camera().projectionMatrix);
    return [((point.x + 1) / 2) * this.canvas.clientWidth, ((1 - point.y) / 2) * this.canvas.clientHeight];
  }

  draw() {
    if (!this.reply) return;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    this.renderer.setSize(width, height, false);
    this.freeCamera.aspect = width / height;
    this.freeCamera.updateProjectionMatrix();
    this.#aimPhotoCamera();
    this.renderer.render(this.scene, this.#camera());
    this.onMove();
  }

  #camera() {
    return this.free ? this.freeCamera : this.photoCamera;
  }

  #light() {
    const light = new DirectionalLight(0xffffff, 2);
    light.position.set(-1, 2, 1.5);
    return light;
  }

  // The pinhole camera of the reply, its principal point included. three.js looks along -z, with y up.
  #aimPhotoCamera() {
    const { fx, fy, cx, cy } = this.reply.camera;
    const { width, height } = this.reply.image;
    const depth = FAR_M - NEAR_M;
    this.photoCamera.projectionMatrix.set(
      (2 * fx) / width, 0, 1 - (2 * cx) / width, 0,
      0, (2 * fy) / height, (2 * cy) / height - 1, 0,
      0, 0, -(FAR_M + NEAR_M) / depth, (-2 * FAR_M * NEAR_M) / depth,
      0, 0, -1, 0,
    );
    this.photoCamera.projectionMatrixInverse.copy(this.photoCamera.projectionMatrix).invert();
    this.photoCamera.updateMatrixWorld();
  }

  #resetFree() {
    const { fy } = this.reply.camera;
    this.freeCamera.fov = Math.min(90, (2 * Math.atan(this.reply.image.height / (2 * fy)) * 180) / Math.PI);
    const centre = new Vector3(0, 0, -3);
    if (this.people.length) {
      centre.set(0, 0, 0);
      for (const { translation: [x, y, z] } of this.reply.people) centre.add(new Vector3(x, -y, -z));
      centre.divideScalar(this.people.length);
    }
    this.freeCamera.position.set(0, 0.6, 0.5);
    this.controls.target.copy(centre);
    this.controls.update();
  }

  // A grid of metres under the lowest foot, with the distances from the camera written on it.
  #placeGround() {
    this.ground.clear();
    const lowest = Math.min(...this.people.map((mesh) => mesh.geometry.boundingBox.min.y), -1);
    const grid = new GridHelper(2 * GRID_M, 2 * GRID_M, 0x888888, 0x888888);
    grid.material.transparent = true;
    grid.material.opacity = 0.35;
    grid.position.y = lowest;
    this.ground.add(grid);
    for (let metres = 1; metres <= GRID_M; metres += metres < 6 ? 1 : 2) {
      const label = labelOf(`${metres} m`);
      label.position.set(0, lowest + 0.1, -metres);
      this.ground.add(label);
    }
  }

  #personAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const at = new Vector2(
      ((event.clientX - box.left) / box.width) * 2 - 1,
      1 - ((event.clientY - box.top) / box.height) * 2,
    );
    const ray = new Raycaster();
    ray.setFromCamera(at, this.#camera());
    const [hit] = ray.intersectObjects(this.people.filter((mesh) => mesh.visible));
    return hit ? this.people.indexOf(hit.object) : -1;
  }
}

function meshOf(person, faces, colour) {
  const flat = new Float32Array(person.vertices.length * 3);
  person.vertices.forEach(([x, y, z], index) => flat.set([x, -y, -z], 3 * index));
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(flat, 3));
  geometry.setIndex(faces.flat());
  geometry.computeVertexNormals();
  geometry.computeBoundingBox();
  return new Mesh(geometry, new MeshStandardMaterial({ color: colour, roughness: 0.8 }));
}

function labelOf(text) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [128, 64];
  const pen = canvas.getContext("2d");
  pen.font = "32px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillStyle = "#888";
  pen.fillText(text, 64, 32);
  const label = new Sprite(new SpriteMaterial({ map: new CanvasTexture(canvas), transparent: true }));
  label.scale.set(0.5, 0.25, 1);
  return label;
}
