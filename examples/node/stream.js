// Follow people through pictures: node stream.js 127.0.0.1:50051 1.jpg 2.jpg ...
const fs = require("fs");
const { once } = require("events");
const { connect } = require("./service");

const [address, ...photos] = process.argv.slice(2);
if (!photos.length) {
  console.error("usage: node stream.js 127.0.0.1:50051 1.jpg 2.jpg ...");
  process.exit(2);
}
const service = connect(address);
const name = (person) => (person._track_id ? `person ${person.track_id}` : "somebody"); // just appeared: no id yet
const call = service.ReconstructStream();

call.on("data", (answer) => {
  switch (answer.message) {
    case "ready":
      console.log(`model ${answer.ready.info.model.name}`);
      break;
    case "result":
      const people = answer.result.reconstruction.people.map(name);
      console.log(`picture ${answer.result.frame_id}: ${people.join(", ") || "nobody"}`);
      break;
    case "error": // the stream goes on
      console.log(`picture ${answer.error.frame_id}: ${answer.error.error.reason}: ${answer.error.error.message}`);
      break;
    case "dropped":
      console.log(`picture ${answer.dropped.frame_id}: dropped for a newer one`);
      break;
    case "summary":
      console.log(`${answer.summary.results} of ${answer.summary.frames} pictures have a result`);
  }
});
call.on("error", (error) => {
  console.error(`${error.code}: ${error.details}`);
  process.exitCode = 1;
});
call.on("status", () => service.close());

(async () => {
  call.write({ config: { overload_policy: "OVERLOAD_POLICY_BLOCK", tracking: {} } });
  for (const [frame_id, photo] of photos.entries()) {
    const room = call.write({ frame: { frame_id, image: fs.readFileSync(photo) } });
    if (!room) await Promise.race([once(call, "drain"), once(call, "status")]); // else everything waits in memory
  }
  call.end();
})();
