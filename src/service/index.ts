export { ServiceHost } from "./host.js";
export type { Registration, ServiceHostOptions } from "./host.js";
export { calledService, GrpcService, HttpService, NotYet } from "./participant.js";
export type { ServiceOptions } from "./participant.js";
