/**
 * Situations that a long batch must reach, by the names under which runs count them. A closed list: a name that no run counts any more is
 * a hole in the simulator, or a situation the protocol no longer has, and is noticed either way.
 *
 * Situations too rare for every thousand seeds are counted by the batch but are not in the list.
 */

import { BUGGIFY_POINTS, type BuggifyPoint } from "../base/index.js";

export interface Mark {
  readonly name: string;
  /** What happened when it is counted. */
  readonly what: string;
}

/** Fewer seeds than this prove nothing about what is never reached. */
export const MARKS_SEEDS_MIN = 1000;

const RARE_WORDS: Readonly<Record<BuggifyPoint, string>> = {
  "snapshot-instead-of-diff": "a follower that a few entries would have sufficed for was sent a snapshot",
  "one-entry-per-propose": "entries went out one by one",
  "ack-withheld": "an acknowledgement waited for the next turn",
  "commit-withheld": "a commit waited for the next turn",
  "ping-skipped": "a leader left out a heartbeat",
  "needless-election": "a follower looked for a leader though it had one",
  "early-conclusion": "an election was concluded without waiting for a better vote",
  "compact-at-once": "a log was cut right behind its checkpoint",
  "sweep-one": "a new leader took up one transaction a turn",
  "two-phases-anyway": "a transaction of one voter was not delegated to it",
  "retry-at-once": "a failed call was repeated without a pause",
  "call-twice": "a call was sent twice",
  "call-times-out-early": "a call was given up at once",
  "breaker-opens-early": "a participant was held off after its first failure",
  "other-instance": "a repeated call went to another instance",
  "done-alone": "an acknowledgement was recorded alone",
  "forget-one": "transactions were forgotten one by one",
  "checkpoint-now": "a checkpoint was taken of the first change",
  "view-now": "a view was pushed though nothing had changed",
  "calls-reversed": "the calls of a turn went out in the opposite order",
  "own-proposal-decoded": "a leader read its own record back from its bytes",
  "restore-one": "an installed snapshot was read in one entry a turn",
};

export const MARKS: readonly Mark[] = [
  // ---- election and discovery
  { name: "elected", what: "a majority voted for one candidate" },
  { name: "out-of-election-join", what: "a node found a settled leader and joined it without a vote of its own" },
  { name: "epoch-proposed", what: "a leader in discovery proposed a new epoch" },
  { name: "established", what: "a leader was established by a quorum that holds its history" },
  { name: "leader-change", what: "another leader served than before" },
  { name: "leader-silent", what: "a follower gave up a leader it no longer heard" },
  { name: "abdicated", what: "a leader gave up, for lack of a quorum or in favour of another" },
  { name: "transfer-done", what: "a planned hand-over reached its successor" },
  // ---- synchronization
  { name: "diff-sent", what: "a follower was brought up to date with the entries it lacked" },
  { name: "trunc-sent", what: "a follower was told to drop entries that were never committed" },
  { name: "trunc-applied", what: "a follower dropped them" },
  { name: "entries-truncated", what: "dropped entries were on disk" },
  { name: "snap-sent", what: "a follower was too far behind and was sent a snapshot" },
  { name: "snap-installed", what: "it was installed" },
  { name: "snapshot-fetch-failed", what: "it was lost on the way" },
  { name: "uptodate", what: "a follower was synchronized while the leader was in office" },
  { name: "learner-lost", what: "a leader lost the connection of a follower" },
  { name: "learner-dropped", what: "a leader dropped a follower" },
  // ---- storage
  { name: "unsynced-lost", what: "a crash lost writes that were not synced" },
  { name: "torn-append", what: "a crash left half a record" },
  { name: "sync-failed", what: "a sync failed: the process ended, and what was not synced was gone" },
  { name: "write-failed", what: "a disk was full: the process ended, also after its restart" },
  { name: "power-cut", what: "every coordinator crashed at once" },
  { name: "damage rot", what: "a bit of a stored record changed while the node was down" },
  { name: "damage wipe", what: "a node came back with an empty disk" },
  { name: "damage found-running", what: "a node found its own log damaged while it ran" },
  { name: "damage-cleared", what: "a damaged node was rebuilt and may vote again" },
  { name: "checkpoint", what: "a node stored its state and may compact its log" },
  // ---- two-phase commit
  { name: "commit", what: "a transaction was committed" },
  { name: "abort vote-no", what: "aborted by the no of a branch" },
  { name: "abort client", what: "aborted by its client" },
  { name: "abort timeout", what: "aborted undecided at its deadline" },
  { name: "abort client-lost", what: "aborted open, its client gone" },
  { name: "abort inquiry", what: "aborted because a branch in doubt asked and nobody had a record" },
  { name: "carried-on commit", what: "begun under one leader, committed under a later one" },
  { name: "carried-on abort", what: "begun under one leader, aborted under a later one" },
  { name: "resolved-by-inquiry", what: "a branch in doubt asked and was told its outcome" },
  { name: "read-only commit", what: "committed with branches that voted read-only and dropped out" },
  { name: "read-only only", what: "committed with nobody left to tell" },
  { name: "read-only abort", what: "aborted, and who had voted read-only was not told" },
  { name: "read-only duplicate", what: "a repeated prepare of a branch that had dropped out was rolled back" },
  { name: "delegated commit", what: "one participant alone decided, and committed in one phase" },
  { name: "delegated abort", what: "one participant alone decided, and refused for ever" },
  { name: "carried-on delegated commit", what: "delegated under one leader, and known to be committed under a later one" },
  { name: "carried-on delegated abort", what: "delegated under one leader, and known to be refused under a later one" },
  { name: "one-phase-repeated committed", what: "a one-phase commit came again, and the row answered that it was done" },
  { name: "one-phase-repeated rolled-back", what: "a one-phase commit came again, and the row refused it" },
  { name: "answer QUORATE_OUTCOME_UNKNOWN", what: "a client was told at its deadline that its delegated transaction may be committed" },
  // ---- try, confirm, cancel
  { name: "tcc commit", what: "a transaction of tried branches was committed" },
  { name: "tcc abort", what: "a transaction of tried branches was aborted" },
  { name: "mixed commit", what: "one with tried and prepared branches was committed" },
  { name: "mixed abort", what: "one with tried and prepared branches was aborted" },
  { name: "carried-on tcc commit", what: "tried under one leader, committed under a later one" },
  { name: "carried-on mixed commit", what: "a mixed one begun under one leader, committed under a later one" },
  { name: "carried-on mixed abort", what: "a mixed one begun under one leader, aborted under a later one" },
  { name: "tried after BEGIN", what: "a service reserved for the cluster, and the BEGIN was in the log" },
  { name: "tried by its client", what: "a service reserved for a client, and the branch was in the log" },
  { name: "prepared after tries", what: "a branch was asked to prepare after every try had said yes" },
  { name: "asked after BEGIN", what: "an instance that wants a record first was asked, and there was one" },
  { name: "tcc empty cancel", what: "a cancel came to a service that had not been tried" },
  { name: "tcc late try refused", what: "and the try that came after it was refused" },
  { name: "tcc client lost", what: "what a client that died had tried itself was cancelled by the cluster" },
  { name: "tcc repeated try", what: "a try came again and reserved nothing more" },
  { name: "tcc repeated confirm", what: "a confirm came again and changed nothing more" },
  { name: "tcc repeated cancel", what: "a cancel came again and changed nothing more" },
  { name: "tcc write lost", what: "a service crashed before what it had done was durable" },
  { name: "duplicate-commit-answered", what: "a Commit came again and got the decision in force" },
  { name: "duplicate-put-answered", what: "a put came again and got its first answer" },
  { name: "alarm-branch-paused", what: "a branch refused its decision so often that an operator was called" },
  { name: "reckless-client", what: "a client prepared branches of a transaction that has no record, and vanished" },
  { name: "forget", what: "a finished transaction was dropped below the floor" },
  { name: "outcome-row-dropped", what: "a participant dropped what nobody can ask for any more" },
  { name: "expired-answer", what: "a status of a forgotten gid was asked and answered as expired" },
  // ---- a participant over SQL
  { name: "sql-lock-wait", what: "a statement waited for a row that another transaction had" },
  { name: "sql-lock-timeout", what: "it waited in vain" },
  { name: "sql-commit-found-nothing", what: "COMMIT PREPARED came again: no such prepared transaction, and the witness row told why" },
  { name: "sql-prepare-unknown", what: "the connection broke during PREPARE TRANSACTION, and what became of it was found out" },
  {
    name: "sql-commit-unknown",
    what: "the connection broke during the COMMIT of a one-phase commit, and the next call found the witness row",
  },
  { name: "session-broken", what: "a connection to a database broke" },
  // ---- rare branches of the product's own code, taken on purpose
  ...BUGGIFY_POINTS.map((point): Mark => ({ name: `rare ${point}`, what: `taken on purpose: ${RARE_WORDS[point]}` })),
  // ---- a node died exactly there
  { name: "failpoint begin-propose", what: "a leader died before it proposed BEGIN" },
  { name: "failpoint prepare-send", what: "before it sent PREPARE" },
  { name: "failpoint one-phase-send", what: "before it sent a one-phase commit" },
  { name: "failpoint decision-propose", what: "before it proposed the decision" },
  { name: "failpoint decision-applied", what: "after the decision was applied, before anybody was told" },
  { name: "failpoint client-answer", what: "before it answered the client" },
  { name: "failpoint done-propose", what: "before it recorded acknowledgements" },
  { name: "failpoint checkpoint-start", what: "before it stored its state" },
  // ---- the shapes of a broken network
  { name: "partition one", what: "one coordinator was cut off" },
  { name: "partition one-way", what: "one group did not hear the other, which heard it" },
  { name: "partition halves", what: "the coordinators were split in two" },
  { name: "partition ring", what: "each saw another majority" },
  { name: "partition bridge", what: "two halves saw each other through one node only" },
  { name: "swizzle-done", what: "links stopped one by one and came back one by one in another order" },
  { name: "partition outsiders", what: "clients or participants were cut off from some coordinators" },
];

/** Marks that a batch did not reach, in the order of the list. */
export function missingMarks(coverage: ReadonlyMap<string, number>): readonly string[] {
  return MARKS.filter(({ name }) => (coverage.get(name) ?? 0) === 0).map(({ name }) => name);
}

/** What to say of a batch, and whether it may pass: short ones always may. */
export function judgeMarks(seeds: number, coverage: ReadonlyMap<string, number>): { readonly ok: boolean; readonly words: string } {
  const missing = missingMarks(coverage);
  const words = `${MARKS.length - missing.length} of ${MARKS.length} marks reached${missing.length === 0 ? "" : `; never: ${missing.join(", ")}`}`;
  if (seeds >= MARKS_SEEDS_MIN) return { ok: missing.length === 0, words };
  return { ok: true, words: `${words}; judged from ${MARKS_SEEDS_MIN} seeds on` };
}
