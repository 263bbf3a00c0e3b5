/**
 * One Session stream to every member of the cluster, kept open all the time, so that a change of leader costs no connection.
 *
 * Decides which addresses are dialed and which node is asked. The members' own views drive both: whoever answers first names
 * the rest. It never decides what happens to a request.
 */
import { formatNodeId, PRODUCT_VERSION, QuorateError } from "../base/index.js";
import type { NodeId } from "../base/index.js";
import type { Answer } from "../coordinator/index.js";
import { codecs } from "../wire/index.js";
import type { NodeView, ServerFrame } from "../wire/index.js";
import type { ClusterClock } from "./cluster-clock.js";
import { Endpoint } from "./endpoint.js";
import type { EventListener } from "./events.js";
import { chooseLeader } from "./leader-choice.js";
import type { LeaderChoice } from "./leader-choice.js";
import { StreamKeeper } from "./stream-keeper.js";

const SESSION_PATH = "/quorate.v1.Session/Open";
/** Once the cluster is found, the other given endpoints get this long to show that they belong to the same one. */
const SETTLE_MS = 200;

export interface SessionLink {
  readonly endpoint: Endpoint;
  readonly keeper: StreamKeeper<ServerFrame>;
  /** The node's latest view while its stream is open and it belongs to our cluster. */
  view: NodeView | undefined;
  /** Set when the node belongs to another cluster: its id. */
  foreign: string | undefined;
}

export interface PoolHandlers {
  onLeader(link: SessionLink | undefined, epoch: number): void;
  onLinkLost(link: SessionLink): void;
  onAnswers(link: SessionLink, answers: readonly { readonly request: number; readonly answer: Answer }[]): void;
  onDrain(): void;
}

/** Whoever keeps further streams to every member. */
export interface EndpointWatcher {
  endpointAdded(endpoint: Endpoint): void;
  endpointRemoved(endpoint: Endpoint): void;
  /** Another leader, another epoch, or none. */
  leaderChanged(): void;
}

export interface PoolOptions {
  readonly seeds: readonly string[];
  /** Where an address of a member is dialed. */
  readonly translateAddress: (address: string) => string;
  readonly client: string;
  readonly clock: ClusterClock;
  readonly onEvent: EventListener;
  readonly handlers: PoolHandlers;
}

export class EndpointPool {
  readonly #options: PoolOptions;
  readonly #links = new Map<string, SessionLink>();
  readonly #watchers = new Set<EndpointWatcher>();
  /** Given endpoints that have answered or failed at least once. */
  readonly #settledSeeds = new Set<string>();
  #members: NodeView["members"] = [];
  #leader: LeaderChoice<SessionLink> | undefined;
  #clusterId: string | undefined;
  #mismatch: QuorateError | undefined;
  #connected = false;
  #closed = false;
  #onChange: (() => void) | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** Known once any endpoint has answered. */
  get clusterId(): string | undefined {
    return this.#clusterId;
  }

  get leaderEndpoint(): Endpoint | undefined {
    return this.#leader?.link.endpoint;
  }

  get leaderNode(): NodeId | undefined {
    return this.#leader?.link.view?.node;
  }

  get endpoints(): readonly Endpoint[] {
    return [...this.#links.values()].map((link) => link.endpoint);
  }

  get reachable(): boolean {
    for (const link of this.#links.values()) if (link.view !== undefined) return true;
    return false;
  }

  /** The leader's view, else the newest one of any reachable node. */
  view(): NodeView | undefined {
    let newest = this.#leader?.link.view;
    if (newest !== undefined) return newest;
    for (const { view } of this.#links.values()) {
      if (view !== undefined && (newest === undefined || view.epoch > newest.epoch)) newest = view;
    }
    return newest;
  }

  start(): void {
    for (const seed of this.#options.seeds) this.#add(seed);
  }

  /** What every endpoint last said, for error messages. */
  report(): string {
    return [...this.#links.values()].map((link) => `${link.endpoint.address} ${describeLink(link)}`).join("; ");
  }

  /**
   * Resolves when a leader is established (or, without `requireLeader`, when any node has answered) and the other given endpoints
   * had their chance. Rejects with QUORATE_CONFIG for endpoints of different clusters, QUORATE_NO_QUORUM, QUORATE_UNREACHABLE,
   * QUORATE_CANCELLED.
   */
  ready(options: { readonly requireLeader: boolean; readonly timeoutMs: number; readonly signal: AbortSignal | undefined }): Promise<void> {
    return new Promise((resolve, reject) => {
      let settle: NodeJS.Timeout | undefined;
      let settled = false;
      const end = (error: QuorateError | undefined): void => {
        clearTimeout(deadline);
        clearTimeout(settle);
        options.signal?.removeEventListener("abort", cancelled);
        this.#onChange = undefined;
        this.#connected = error === undefined;
        if (error === undefined) resolve();
        else reject(error);
      };
      const cancelled = (): void =>
        end(new QuorateError("QUORATE_CANCELLED", "connect was cancelled", { retry: "safe", cause: options.signal?.reason }));
      const check = (): void => {
        if (this.#mismatch !== undefined) return end(this.#mismatch);
        if (options.requireLeader ? this.#leader === undefined : !this.reachable) return;
        if (settled || this.#options.seeds.every((seed) => this.#settledSeeds.has(seed))) return end(undefined);
        settle ??= setTimeout(() => {
          settled = true;
          check();
        }, SETTLE_MS);
      };
      const deadline = setTimeout(() => {
        const after = `within ${options.timeoutMs} ms (${this.report()})`;
        end(
          this.reachable
            ? new QuorateError("QUORATE_NO_QUORUM", `the cluster has no established leader ${after}`, { retry: "safe" })
            : new QuorateError("QUORATE_UNREACHABLE", `no endpoint answered as a Quorate node ${after}`, { retry: "safe" }),
        );
      }, options.timeoutMs);
      if (options.signal?.aborted === true) return cancelled();
      options.signal?.addEventListener("abort", cancelled);
      this.#onChange = check;
      check();
    });
  }

  watch(watcher: EndpointWatcher): void {
    this.#watchers.add(watcher);
    for (const link of this.#links.values()) watcher.endpointAdded(link.endpoint);
  }

  unwatch(watcher: EndpointWatcher): void {
    this.#watchers.delete(watcher);
  }

  close(): void {
    this.#closed = true;
    for (const link of this.#links.values()) {
      link.keeper.stop();
      link.endpoint.close();
    }
    this.#links.clear();
  }

  #add(address: string): void {
    if (this.#links.has(address)) return;
    const endpoint = new Endpoint(address, this.#options.translateAddress(address));
    const keeper = new StreamKeeper<ServerFrame>(endpoint, {
      path: SESSION_PATH,
      decode: (bytes) => codecs.serverFrame.decode(bytes),
      onDial: (write) =>
        write(codecs.clientFrame.encode({ hello: { client: this.#options.client, version: PRODUCT_VERSION }, requests: [] })),
      onMessage: (frame) => this.#received(link, frame),
      onDrain: () => this.#options.handlers.onDrain(),
      onLost: (why, wasOpen) => this.#lost(link, why, wasOpen),
    });
    const link: SessionLink = { endpoint, keeper, view: undefined, foreign: undefined };
    this.#links.set(address, link);
    for (const watcher of this.#watchers) watcher.endpointAdded(endpoint);
    keeper.start();
  }

  #retire(link: SessionLink): void {
    this.#links.delete(link.endpoint.address);
    this.#settledSeeds.add(link.endpoint.address);
    const wasOpen = link.view !== undefined;
    link.view = undefined;
    for (const watcher of this.#watchers) watcher.endpointRemoved(link.endpoint);
    link.keeper.stop();
    link.endpoint.close();
    if (wasOpen) this.#options.handlers.onLinkLost(link);
  }

  #received(link: SessionLink, frame: ServerFrame): void {
    if (frame.answers.length > 0 && link.foreign === undefined) this.#options.handlers.onAnswers(link, frame.answers);
    if (frame.view !== undefined) this.#viewed(link, frame.view);
  }

  #viewed(link: SessionLink, view: NodeView): void {
    const address = link.endpoint.address;
    this.#settledSeeds.add(address);
    this.#clusterId ??= view.clusterId;
    if (view.clusterId !== this.#clusterId) {
      this.#foreign(link, view.clusterId, this.#clusterId);
      return;
    }
    const first = link.view === undefined;
    link.foreign = undefined;
    link.view = view;
    this.#options.clock.observe(view);
    if (first) {
      const twin = [...this.#links.values()].find((other) => other !== link && other.view?.node === view.node);
      if (twin !== undefined) {
        // Two addresses of one node ("localhost" and 127.0.0.1): the stream that is already in use stays.
        link.view = undefined;
        this.#retire(link);
        this.#onChange?.();
        return;
      }
      this.#options.onEvent({ kind: "endpoint-open", address, node: view.node });
    }
    this.#learn(view);
    this.#choose();
    this.#onChange?.();
  }

  #foreign(link: SessionLink, clusterId: string, expected: string): void {
    const address = link.endpoint.address;
    link.foreign = clusterId;
    if (link.view !== undefined) {
      link.view = undefined;
      this.#options.handlers.onLinkLost(link);
    }
    this.#options.onEvent({ kind: "foreign-cluster", address, clusterId, expected });
    if (!this.#connected) {
      const other = [...this.#links.values()].find((candidate) => candidate.view?.clusterId === expected);
      this.#mismatch = new QuorateError(
        "QUORATE_CONFIG",
        `the endpoints belong to different clusters: ${address} to ${clusterId}, ${other?.endpoint.address ?? "an earlier one"} to ${expected}`,
      );
    }
    this.#choose();
    this.#onChange?.();
  }

  /** Dials members that are not dialed yet; forgets addresses that the leader no longer counts, unless the user named them. */
  #learn(view: NodeView): void {
    const leading = view.role === "leading" && view.established;
    if (leading || this.#members.length === 0) this.#members = view.members;
    this.#dialMembers(view.members);
    if (!leading) return;
    const addresses = new Set(view.members.map((member) => member.clientAddress));
    const ids = new Set(view.members.map((member) => member.id));
    for (const link of [...this.#links.values()]) {
      const address = link.endpoint.address;
      const wanted =
        addresses.has(address) || this.#options.seeds.includes(address) || (link.view !== undefined && ids.has(link.view.node));
      if (!wanted) this.#retire(link);
    }
  }

  #dialMembers(members: NodeView["members"]): void {
    for (const member of members) {
      if (member.clientAddress === "") continue;
      const served = [...this.#links.values()].some((link) => link.view?.node === member.id);
      if (!served) this.#add(member.clientAddress);
    }
  }

  #lost(link: SessionLink, why: string, wasOpen: boolean): void {
    this.#settledSeeds.add(link.endpoint.address);
    const counted = link.view !== undefined;
    link.view = undefined;
    link.foreign = undefined;
    if (wasOpen) this.#options.onEvent({ kind: "endpoint-lost", address: link.endpoint.address, why });
    if (counted) {
      this.#options.handlers.onLinkLost(link);
      this.#dialMembers(this.#members);
      // Nobody is left: the addresses the user gave may lead to a cluster that has moved.
      if (!this.reachable) for (const seed of this.#options.seeds) this.#add(seed);
      this.#choose();
    }
    this.#onChange?.();
  }

  #choose(): void {
    if (this.#closed) return;
    const views: [SessionLink, NodeView][] = [];
    for (const link of this.#links.values()) if (link.view !== undefined) views.push([link, link.view]);
    const next = chooseLeader(views);
    if (next?.link === this.#leader?.link && next?.epoch === this.#leader?.epoch) return;
    this.#leader = next;
    this.#options.handlers.onLeader(next?.link, next?.epoch ?? 0);
    this.#options.onEvent({ kind: "leader", node: next?.link.view?.node, epoch: next?.epoch ?? 0 });
    for (const watcher of this.#watchers) watcher.leaderChanged();
  }
}

function describeLink(link: SessionLink): string {
  if (link.foreign !== undefined) return `belongs to another cluster, ${link.foreign}`;
  const view = link.view;
  if (view === undefined) return link.keeper.lastFailure ?? "has not answered yet";
  const leader =
    view.leader === undefined ? "knows no leader" : `follows ${formatNodeId(view.leader)}${view.established ? "" : ", not established"}`;
  const what = view.role === "leading" ? (view.established ? "leads" : "leads, not established") : leader;
  return `is ${formatNodeId(view.node)}, epoch ${view.epoch}, ${what}`;
}
