/**
 * A process that accepts every peer stream and says nothing: there to be killed.
 */
import { Metadata, Server, ServerCredentials } from "@grpc/grpc-js";

const bytes = (value) => value;
const method = (name, responseStream = true) => ({
  path: `/quorate.v1.Peer/${name}`,
  requestStream: true,
  responseStream,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
});

function accept(call) {
  call.on("error", () => undefined);
  call.sendMetadata(new Metadata());
  call.resume();
}

const server = new Server();
server.addService({ Control: method("Control"), Follow: method("Follow") }, { Control: accept, Follow: accept });
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  process.send(port);
});
process.on("disconnect", () => process.exit());
