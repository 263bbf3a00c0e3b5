/**
 * PUT and REGISTER: the register space with requests that take effect once, and the names of participants.
 *
 * Decides whether a request is new, repeated or too old to tell. A client without memory whose own time is below the floor may
 * have been forgotten together with its answers, so its requests are expired rather than run a second time.
 */
import { nameProblem, uuidTimeMs, ZXID_ZERO } from "../base/index.js";
import type { Zxid } from "../base/index.js";
import type { ApplyResult, Register } from "./api.js";
import { checkRegister, checkRequestId } from "./check.js";
import type { Client } from "./client-memory.js";
import type { Command, RequestId } from "./command.js";
import { refusePlain, refuseRequest } from "./refusal.js";
import type { Refused } from "./refusal.js";
import { registrationProblem } from "./services.js";
import type { Tables } from "./tables.js";

type Put = Extract<Command, { kind: "PUT" }>;
type RegisterParticipant = Extract<Command, { kind: "REGISTER" }>;

export function applyPut(tables: Tables, command: Put, zxid: Zxid): ApplyResult {
  const { request, name, value } = command;
  const malformed = checkRequestId(request) ?? checkRegister(name, value.length, tables.limits);
  if (malformed !== undefined) return refuseRequest(malformed.reason, malformed.message, request);
  let client = tables.clients.get(request.client);
  if (client === undefined) {
    const problem = newClientProblem(tables, request);
    if (problem !== undefined) return problem;
  } else {
    const repeated = recall(tables, client, request, name);
    if (repeated !== undefined) return repeated;
  }
  const current = tables.registers.get(name);
  if (current === undefined && tables.registers.size >= tables.limits.registersMax) {
    return refuseRequest("too-large", `there are ${tables.registers.size} registers; the limit registersMax is reached`, request);
  }
  const conflict = versionConflict(command, current);
  const held = conflict === undefined ? registrationProblem(tables, name, value) : undefined;
  if (held !== undefined) return refuseRequest("wrong-state", held, request);
  client ??= tables.clients.create(request.client);
  client.acknowledge(request.ackBelow);
  tables.clientChanged(client.client);
  if (conflict !== undefined) {
    tables.clients.remember(client, request.seq, "version-conflict", conflict, tables.stampMs);
    return conflictRefusal(request, name, conflict);
  }
  tables.clients.remember(client, request.seq, "put", zxid, tables.stampMs);
  tables.putRegister({ name, value, version: zxid });
  return { kind: "put", request, version: zxid, repeated: false };
}

function newClientProblem(tables: Tables, request: RequestId): Refused | undefined {
  const madeMs = uuidTimeMs(request.client);
  const { limits, floorMs, stampMs } = tables;
  if (madeMs < floorMs) {
    return refuseRequest(
      "expired",
      `client ${request.client} is older than the cluster remembers (floor ${floorMs} ms): whether request ${request.seq} took effect is not known; use a new client id`,
      request,
    );
  }
  if (madeMs - stampMs > limits.futureMsMax) {
    return refuseRequest(
      "future",
      `the time inside client ${request.client} is ${madeMs - stampMs} ms ahead of the cluster; the limit futureMsMax is ${limits.futureMsMax}: correct the client's clock`,
      request,
    );
  }
  if (tables.clients.size < limits.clientsMax) return undefined;
  return refuseRequest("too-large", `${tables.clients.size} clients are remembered; the limit clientsMax is reached`, request);
}

/** The answer given before, a refusal when it cannot be known any more, or undefined for a new request. */
function recall(tables: Tables, client: Client, request: RequestId, name: string): ApplyResult | undefined {
  const answer = client.answer(request.seq);
  if (answer !== undefined && request.seq >= client.ackBelow) {
    tables.clients.touch(client, tables.stampMs);
    tables.clientChanged(client.client);
    if (answer.outcome === "put") return { kind: "put", request, version: answer.version, repeated: true };
    return conflictRefusal(request, name, answer.version);
  }
  if (request.seq < client.ackBelow) {
    return refuseRequest(
      "expired",
      `request ${request.seq} of client ${client.client} is below ackBelow ${client.ackBelow}: its answer was acknowledged and dropped`,
      request,
    );
  }
  if (client.remembered < tables.limits.clientAnswersMax) return undefined;
  return refuseRequest(
    "too-large",
    `client ${client.client} has ${client.remembered} answers that it has not acknowledged; the limit clientAnswersMax is ${tables.limits.clientAnswersMax}: raise ackBelow`,
    request,
  );
}

/** The version found, when it is not the expected one. */
function versionConflict(command: Put, current: Register | undefined): Zxid | undefined {
  const { expect } = command;
  if (expect === undefined) return undefined;
  const version = current === undefined ? ZXID_ZERO : current.version;
  return expect.epoch === version.epoch && expect.counter === version.counter ? undefined : version;
}

function conflictRefusal(request: RequestId, name: string, version: Zxid): Refused {
  return refuseRequest(
    "version-conflict",
    `register "${name}" is at version ${version.epoch}:${version.counter}, not the expected one; read it and try again`,
    request,
    version,
  );
}

export function applyRegister(tables: Tables, command: RegisterParticipant): ApplyResult {
  const { participant, participantKind } = command;
  const problem = nameProblem("participant", participant) ?? nameProblem("participantKind", participantKind);
  if (problem !== undefined) return refusePlain("invalid", problem);
  const known = tables.participants.get(participant);
  if (known === undefined && tables.participants.size >= tables.limits.participantsMax) {
    return refusePlain(
      "too-large",
      `${tables.participants.size} participants are known; the limit participantsMax is reached: "${participant}" cannot attach`,
    );
  }
  if (known?.participantKind !== participantKind) tables.putParticipant({ name: participant, participantKind });
  return { kind: "registered", participant };
}
