export { createCoordinator } from "./coordinator.js";
export type {
  Alarm,
  BranchCall,
  BranchPhase,
  BranchReply,
  CallManner,
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
