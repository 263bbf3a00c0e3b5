export { NotYet, Refusal } from "./contract.js";
export type {
  CallBarrier,
  HttpServiceOptions,
  NewWorkResult,
  ServiceCall,
  ServicePhase,
  TccHandlers,
  TwoPhaseHandlers,
} from "./contract.js";
export { fastifyService } from "./fastify.js";
export type { FastifyScope } from "./fastify.js";
export { expressHandler, nodeHandler } from "./node.js";
export type { ParsedRequest } from "./node.js";
