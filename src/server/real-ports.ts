/**
 * The replica's small ports: clock, entropy, and the two networks as far as the replica sees them.
 */
import { randomFillSync } from "node:crypto";
import { performance } from "node:perf_hooks";
import type { ClockPort, NetPort, SessionPort } from "../replica/index.js";
import type { ServiceHost } from "../service/index.js";
import type { ClientServer, PeerNet } from "../transport/index.js";
import type { Late } from "./late.js";
import { UNARY_SESSION, type UnaryRequests } from "./unary-requests.js";

export const realClock: ClockPort = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
};

const ENTROPY_WORDS = 256;

/** 32 random bits from the system, fetched many at a time. */
export function systemEntropy(): () => number {
  const words = new Uint32Array(ENTROPY_WORDS);
  let used = ENTROPY_WORDS;
  return () => {
    if (used === ENTROPY_WORDS) {
      randomFillSync(words);
      used = 0;
    }
    return words[used++] ?? 0;
  };
}

export function netPort(net: Late<PeerNet>): NetPort {
  return {
    control: (to, message) => net.get().control(to, message),
    dial: (session, peer) => net.get().dial(session, peer),
    session: (session, message) => net.get().session(session, message),
    close: (session) => net.get().close(session),
  };
}

/** Answers to unary calls and calls of services stay in this process; everything else goes to the streams. */
export function sessionPort(server: Late<ClientServer>, unary: UnaryRequests, services: ServiceHost): SessionPort {
  return {
    answer: (session, request, answer) => {
      if (session === UNARY_SESSION) unary.answer(request, answer);
      else server.get().answer(session, request, answer);
    },
    call: (call) => {
      if (services.has(call.instance)) services.call(call);
      else server.get().call(call);
    },
    inquiryAnswers: (instance, answers) => server.get().inquiryAnswers(instance, answers),
    setView: (view) => server.get().setView(view),
  };
}
