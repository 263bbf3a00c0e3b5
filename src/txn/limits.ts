/**
 * The constants of the state machine.
 *
 * They are code, not configuration: two replicas with different limits would apply the same record differently. A change of any
 * value goes behind a feature level.
 */
import type { TxnLimits } from "./api.js";

export const TXN_LIMITS: TxnLimits = Object.freeze({
  payloadBytesMax: 64 * 1024,
  transactionBytesMax: 1024 * 1024,
  branchesMax: 64,
  registerNameMax: 128,
  registerValueBytesMax: 64 * 1024,
  registersMax: 1_000_000,
  timeoutMsMin: 100,
  timeoutMsMax: 3_600_000,
  commitWindowMs: 5_000,
  futureMsMax: 60_000,
  participantsMax: 10_000,
  clientsMax: 1_000_000,
  idleClientsPerFloorMax: 20_000,
  clientAnswersMax: 65_536,
  noteCharsMax: 1_024,
});

/** What apply does is numbered: replicas of one cluster agree on the level before any behaviour behind a higher one is used. */
export const FEATURE_LEVEL = 3;

/** From this level on a BEGIN may be delegated. A state that began below it never gets one. */
export const DELEGATION_LEVEL = 2;

/** From this level on apply keeps the rules of services.ts. */
export const SERVICE_LEVEL = 3;

/** From this level on a branch may be of kind `tcc`. A state that began below it never gets one. */
export const TCC_LEVEL = 3;
