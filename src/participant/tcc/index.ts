export { tcc } from "./participant.js";
export { TccRefusal } from "./refusal.js";
export type { TccBarrier, TccBarrierCall, TccBarrierResult, TccCall, TccOptions, TccPhase } from "./api.js";
