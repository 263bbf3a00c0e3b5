export { CLIENT_CHANNEL_OPTIONS, FRAME_BYTES_MAX, RECEIVE_BYTES_MAX, SERVER_OPTIONS } from "./channel-options.js";
export type { Codec, WireCodecs } from "./codec-api.js";
export type { ClientFrame, CoordinatorFrame, FrameCall, NodeStatus, NodeView, ParticipantFrame, ServerFrame } from "./frames.js";
