/**
 * gRPC settings that cost seconds by default, set explicitly and in one place, with the reason for each.
 */

/** No frame is larger than this: far under the receive limit, small enough that nothing waits long behind it. */
export const FRAME_BYTES_MAX = 256 * 1024;

/** Receive limit: a frame may exceed its cap by one item, and one item is at most a 1 MiB transaction. */
export const RECEIVE_BYTES_MAX = 8 * 1024 * 1024;

/** For every channel we dial. */
export const CLIENT_CHANNEL_OPTIONS: Readonly<Record<string, string | number>> = {
  // A refused connection is retried at once, then at most every 500 ms: the default waits 1 s and grows to 120 s.
  "grpc.initial_reconnect_backoff_ms": 50,
  "grpc.min_reconnect_backoff_ms": 50,
  "grpc.max_reconnect_backoff_ms": 500,
  // Lanes must not share one TCP connection: bulk would delay heartbeats. A pool per channel gives each its own.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.max_receive_message_length": RECEIVE_BYTES_MAX,
  "grpc.max_send_message_length": RECEIVE_BYTES_MAX,
  // A frozen host is noticed by our own heartbeats; keepalive only reaps connections that nobody uses.
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.keepalive_permit_without_calls": 1,
  // No proxy, no service config from DNS: nothing may be looked up besides the address itself.
  "grpc.enable_http_proxy": 0,
  "grpc.service_config_disable_resolution": 1,
  // A stream that broke is ours to repeat, or not; gRPC's own retries would buffer every frame and replay some of them unasked.
  "grpc.enable_retries": 0,
  // Raise the window at the dialing end: grpc-js servers ignore the option.
  "grpc-node.flow_control_window": 4 * 1024 * 1024,
};

/** For every server. */
export const SERVER_OPTIONS: Readonly<Record<string, string | number>> = {
  "grpc.max_receive_message_length": RECEIVE_BYTES_MAX,
  "grpc.max_send_message_length": RECEIVE_BYTES_MAX,
  "grpc.max_concurrent_streams": 10_000,
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
};
