/**
 * Faults of participants: their processes, and the database servers below them, killed and frozen. The coordinators stay as they are.
 *
 * A participant that is away owes its votes to nobody, and nobody can tell it an outcome: what it said yes to before must be settled
 * when it is back.
 */
import type { ClusterUnderTest } from "../cluster/cluster-under-test.js";
import type { DatabaseServer, Resource } from "../participants/resource.js";
import { must } from "../../src/base/index.js";
import { stateOf } from "../../src/testing/index.js";
import { fault, sleep, type Composition } from "./composition.js";

const QUIET_MS = 1_500;
const RESTART_AFTER_MS = [100, 1_500] as const;
/** Longer than a transaction of the load may take to decide: some are decided while it is away. */
const PAUSES_MS = [300, 1_500, 5_000] as const;

const base = { nodesMin: 3, movesLeader: false, quietMs: QUIET_MS } as const;

export const participantKill: Composition<ClusterUnderTest> = {
  ...base,
  name: "participant-kill",
  summary:
    "kill -9 of one participant's process under load, started again after 0.1 to 1.5 s; its branches in doubt must find out; felt when the process is gone and the next one attached",
  leavesDoubt: true,
  breaks: "participants",
  episode: (ground) => {
    const { participants, prng } = ground;
    const victim = prng.pick(participants);
    return fault(ground, "participant-kill", { participant: victim.name }, async () => {
      victim.leaving();
      await victim.process.kill9();
      const gone = victim.process.pid === undefined;
      await sleep(prng.int(...RESTART_AFTER_MS), undefined);
      victim.process.launch();
      await victim.process.ready();
      victim.returned();
      return gone;
    });
  },
};

export const participantPause: Composition<ClusterUnderTest> = {
  ...base,
  name: "participant-pause",
  summary: "SIGSTOP of one participant's process for 0.3, 1.5 or 5 s, then SIGCONT; felt when the kernel shows the process stopped",
  leavesDoubt: false,
  breaks: "participants",
  episode: (ground) => {
    const { participants, prng, stop } = ground;
    const victim = prng.pick(participants);
    const pauseMs = prng.pick(PAUSES_MS);
    return fault(ground, "participant-pause", { participant: victim.name, pauseMs }, async () => {
      victim.leaving();
      victim.process.freeze();
      await sleep(pauseMs, stop);
      const { pid } = victim.process;
      const stopped = pid !== undefined && stateOf(pid) === "T";
      victim.process.thaw();
      victim.returned();
      return stopped;
    });
  },
};

export const databaseKill: Composition<ClusterUnderTest> = {
  ...base,
  name: "database-kill",
  summary:
    "kill -9 of a database server (PostgreSQL, MariaDB) and all its backends under load, started again after 0.1 to 1.5 s; prepared transactions must survive and be settled; felt when the server is gone",
  leavesDoubt: false,
  breaks: "databases",
  episode: (ground) => {
    const { prng } = ground;
    const [victim, database] = pickDatabase(prng.shuffle(ground.participants));
    return fault(ground, "database-kill", { participant: victim.name }, async () => {
      victim.leaving();
      await database.kill9();
      const gone = database.pid === undefined;
      await sleep(prng.int(...RESTART_AFTER_MS), undefined);
      await database.restart();
      victim.returned();
      return gone;
    });
  },
};

export const databasePause: Composition<ClusterUnderTest> = {
  ...base,
  name: "database-pause",
  summary: "SIGSTOP of a database server and all its backends for 0.3, 1.5 or 5 s; felt when the kernel shows the server stopped",
  leavesDoubt: false,
  breaks: "databases",
  episode: (ground) => {
    const { prng, stop } = ground;
    const [victim, database] = pickDatabase(prng.shuffle(ground.participants));
    const pauseMs = prng.pick(PAUSES_MS);
    return fault(ground, "database-pause", { participant: victim.name, pauseMs }, async () => {
      victim.leaving();
      database.freeze();
      await sleep(pauseMs, stop);
      const { frozen } = database;
      database.thaw();
      victim.returned();
      return frozen;
    });
  },
};

function pickDatabase(participants: readonly Resource[]): readonly [Resource, DatabaseServer] {
  const victim = must(
    participants.find(({ database }) => database !== undefined),
    "a participant with a database server",
  );
  return [victim, must(victim.database, "its server")];
}
