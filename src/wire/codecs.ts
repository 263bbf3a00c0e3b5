/**
 * All codecs by name.
 */
import { clientFrameCodec, serverFrameCodec } from "./client-codec.js";
import type { WireCodecs } from "./codec-api.js";
import { participantFrameCodec, coordinatorFrameCodec } from "./participant-codec.js";
import { controlCodec, sessionCodec } from "./peer-codec.js";
import { decodeMessage } from "./proto-reader.js";
import { ProtoWriter } from "./proto-writer.js";
import { commandCodec } from "./record-codec.js";
import { stateChangeCodec } from "./state-codec.js";
import { nodeStatusCodec } from "./status-codec.js";
import { readView, writeView } from "./view-codec.js";

const viewWriter = new ProtoWriter(4 * 1024);

export const codecs: WireCodecs = {
  command: commandCodec,
  stateChange: stateChangeCodec,
  control: controlCodec,
  session: sessionCodec,
  clientFrame: clientFrameCodec,
  serverFrame: serverFrameCodec,
  participantFrame: participantFrameCodec,
  coordinatorFrame: coordinatorFrameCodec,
  nodeView: {
    encode(view) {
      viewWriter.begin();
      writeView(viewWriter, view);
      return viewWriter.finish();
    },
    decode: (bytes) => decodeMessage("NodeView", bytes, readView),
  },
  nodeStatus: nodeStatusCodec,
};
