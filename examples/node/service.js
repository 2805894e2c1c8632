// The service as an object, made from its proto file: no generated code.
const path = require("path");

let grpc, loader;
try {
  grpc = require("@grpc/grpc-js");
  loader = require("@grpc/proto-loader");
} catch (error) {
  if (error.code !== "MODULE_NOT_FOUND") throw error;
  console.error("the gRPC packages are not installed; run: cd examples/node; npm install");
  process.exit(1);
}

const PROTO = path.join(__dirname, "../../proto");

exports.connect = (address) => {
  const definition = loader.loadSync("depthhmr/v1/reconstruction.proto", {
    includeDirs: [PROTO],
    keepCase: true, // names as in the proto file; the default makes them camelCase, and drops what it does not know
    longs: Number, // frame ids; beyond 2^53 take String
    enums: String,
    oneofs: true, // message.message names the one that is set
    defaults: true,
  });
  const { ReconstructionService } = grpc.loadPackageDefinition(definition).depthhmr.v1;
  return new ReconstructionService(address, grpc.credentials.createInsecure(), {
    "grpc.max_receive_message_length": 128 * 2 ** 20, // meshes are larger than the default of 4 MiB
  });
};
