// One image: node reconstruct.js 127.0.0.1:50051 photo.jpg
const fs = require("fs");
const { connect } = require("./service");

const [address, photo] = process.argv.slice(2);
if (!photo) {
  console.error("usage: node reconstruct.js 127.0.0.1:50051 photo.jpg");
  process.exit(2);
}
const service = connect(address);
const request = {
  image: fs.readFileSync(photo),
  options: { outputs: ["OUTPUT_JOINTS", "OUTPUT_VERTICES"] },
};

service.Reconstruct(request, { deadline: Date.now() + 20_000 }, (error, reply) => {
  if (error) {
    console.error(`${error.code}: ${error.details}`);
    process.exitCode = 1;
  } else {
    const { camera, camera_source } = reply.reconstruction;
    console.log(`focal length ${camera.fx.toFixed(0)} px, ${camera_source}`);
    for (const person of reply.reconstruction.people) {
      // float32, little-endian; copied, because a Float32Array must begin at a multiple of four bytes
      const vertices = new Float32Array(new Uint8Array(person.vertices).buffer);
      const [x, y, z] = person.translation.map((metres) => metres.toFixed(2));
      console.log(`${person.id}: score ${person.score.toFixed(2)}, at ${x} ${y} ${z} m, ${vertices.length / 3} vertices`);
    }
  }
  service.close();
});
