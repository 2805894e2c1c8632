// Reads a .glb from stdin, prints the Khronos validator's report as JSON. First argument: the folder of the package.
const validator = require(process.argv[2]);
const bytes = new Uint8Array(require("fs").readFileSync(0));
validator.validateBytes(bytes, { format: "glb", maxIssues: 20 }).then(
  (report) => console.log(JSON.stringify(report)),
  (error) => { console.error(String(error)); process.exit(1); },
);
