/**
 * The leader's gRPC caller against a server that is built from the published service.proto alone, by protobufjs.
 */
import { status } from "@grpc/grpc-js";
import { afterEach, describe, expect, test } from "vitest";
import { newGid } from "../../src/base/index.js";
import { GrpcService, NotYet } from "../../src/service/index.js";
import { startGrpcStub, type GrpcAnswering, type GrpcCall } from "../support/grpc-stub.js";

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

async function serve(answering: GrpcAnswering): Promise<{ readonly calls: GrpcCall[]; readonly hotel: GrpcService }> {
  const stub = await startGrpcStub(answering);
  const spec = { url: stub.url, kind: "tcc", deadlineMs: 1_000 } as const;
  const hotel = new GrpcService("hotel", spec, 3, {
    clusterId: "test",
    connectionsMax: 4,
    answerBytesMax: 1_000,
    forgottenBelowMs: () => 1_700_000_000_512,
  });
  open.push(hotel, stub);
  return { calls: stub.calls, hotel };
}

const GID = newGid(Date.now(), () => 7);
const request = { gid: GID, branch: "b1", payload: Buffer.from("{}"), epoch: 3, attempt: 2 };
const ref = { gid: GID, branch: "b1" };

describe("a service over gRPC", () => {
  test("is called with the published message", async () => {
    const { calls, hotel } = await serve(() => ({}));
    expect(await hotel.prepare(request)).toEqual({ vote: "yes", detail: "" });
    expect(await hotel.commit(ref)).toEqual({ kind: "done" });
    expect(await hotel.rollback(ref)).toEqual({ kind: "done" });
    const shared = { gid: GID, branch: "b1", epoch: 3, cluster: "test", participant: "hotel", forgottenBelowMs: 1_700_000_000_512 };
    expect(calls[0]).toMatchObject({ ...shared, phase: "SERVICE_PHASE_TRY", attempt: 2, payload: Buffer.from("{}") });
    expect(calls[1]).toMatchObject({ ...shared, phase: "SERVICE_PHASE_CONFIRM", attempt: 1 });
    expect(calls[2]).toMatchObject({ ...shared, phase: "SERVICE_PHASE_CANCEL" });
  });

  test("votes by ABORTED no, by FAILED_PRECONDITION not yet; a decision it cannot refuse", async () => {
    let code = status.ABORTED;
    const { hotel } = await serve(() => ({ code, details: "no room left" }));
    expect(await hotel.prepare(request)).toEqual({ vote: "no", detail: "no room left" });
    await expect(hotel.commit(ref)).rejects.toThrow("answered ABORTED to confirm (no room left); what is decided cannot be refused");
    code = status.FAILED_PRECONDITION;
    await expect(hotel.prepare(request)).rejects.toThrow(NotYet);
    code = status.UNAVAILABLE;
    await expect(hotel.prepare(request)).rejects.toThrow("answered UNAVAILABLE to try (no room left); a service answers OK, ABORTED or");
  });

  test("that is silent, sends nonsense or too much could not be told", async () => {
    let said: ReturnType<GrpcAnswering> = "silent";
    const { hotel } = await serve(() => said);
    await expect(hotel.prepare(request)).rejects.toThrow("no answer to try within 1000 ms");
    said = { vote: 9 };
    await expect(hotel.prepare(request)).rejects.toThrow("answered OK to try with a message that cannot be read: ServiceAnswer: vote 9");
    said = { raw: Uint8Array.of(0x08) };
    await expect(hotel.prepare(request)).rejects.toThrow("a message that cannot be read");
    said = { raw: new Uint8Array(2_000) };
    await expect(hotel.prepare(request)).rejects.toThrow("answered RESOURCE_EXHAUSTED to try");
  });

  test("where nobody listens", async () => {
    const spec = { url: "grpc://127.0.0.1:1", kind: "2pc", deadlineMs: 1_000 } as const;
    const nobody = new GrpcService("hotel", spec, 3, {
      clusterId: "test",
      connectionsMax: 4,
      answerBytesMax: 1_000,
      forgottenBelowMs: () => 1_700_000_000_512,
    });
    open.push(nobody);
    await expect(nobody.prepare(request)).rejects.toThrow(/answered UNAVAILABLE to prepare .*ECONNREFUSED/);
  });
});
