export { createCoordinator } from "./coordinator.js";
export { PLAIN_ABILITIES } from "./api.js";
export { phaseName } from "./phase-name.js";
export type { PhaseName } from "./phase-name.js";
export type {
  Abilities,
  Alarm,
  BranchCall,
  BranchPhase,
  BranchReply,
  ClientSession,
  Coordinator,
  CoordinatorOptions,
  CoordinatorReady,
  CreateCoordinator,
  Inquiry,
  InquiryAnswer,
  InstanceId,
} from "./api.js";
export type { Answer, BranchView, Request, TransactionView } from "./request.js";
