/**
 * A node's view of the cluster, as clients and participants see it.
 */
import type { NodeId } from "../base/index.js";
import type { NodeView } from "../wire/index.js";
import type { Configuration, Role } from "../zab/index.js";

type MemberList = NodeView["members"];

/** One list per configuration object, so that an unchanged membership is the same reference. */
const lists = new WeakMap<Configuration, MemberList>();

export function describeView(
  clusterId: string,
  node: NodeId,
  role: Role,
  /** This node leads and its driver runs. */ serving: boolean,
  configuration: Configuration,
  clusterTimeMs: number,
  forgottenBelowMs: number,
): NodeView {
  const leader = role.kind === "following" ? role.leader : role.kind === "leading" && serving ? node : undefined;
  const members = memberList(configuration);
  return {
    clusterId,
    node,
    role: role.kind,
    established: role.kind === "leading" ? serving : role.kind === "following" && role.phase === "broadcast",
    epoch: role.kind === "looking" ? 0 : role.epoch,
    leader,
    leaderAddress: members.find((member) => member.id === leader)?.clientAddress ?? "",
    clusterTimeMs,
    members,
    forgottenBelowMs,
  };
}

function memberList(configuration: Configuration): MemberList {
  let list = lists.get(configuration);
  if (list === undefined) {
    list = configuration.current.members.map((member) => ({ id: member.id, clientAddress: member.clientAddress }));
    lists.set(configuration, list);
  }
  return list;
}

/** What a view is made of. */
interface Shown {
  readonly role: Role;
  readonly established: boolean;
  readonly configuration: Configuration;
}

/** Pushes the view when it changed, or when its clock grows stale; what is forgotten goes along and is in no hurry. */
export class ViewPusher {
  readonly #intervalMs: number;
  readonly #make: () => NodeView;
  readonly #push: (view: NodeView) => void;
  readonly #rarely: () => boolean;
  #view: NodeView | undefined;
  #shown: Shown | undefined;
  #sentMs = -Infinity;

  /** `rarely`: push it now, whether or not anything changed. */
  constructor(intervalMs: number, make: () => NodeView, push: (view: NodeView) => void, rarely: () => boolean) {
    this.#intervalMs = intervalMs;
    this.#make = make;
    this.#push = push;
    this.#rarely = rarely;
  }

  /** Every turn passes here: a view is only made when something it shows may have changed. Returns when it wants to be shown next. */
  show(shown: Shown, nowMs: number): number {
    const due = nowMs - this.#sentMs >= this.#intervalMs || this.#rarely();
    const before = this.#shown;
    const same = before?.role === shown.role && before.established === shown.established && before.configuration === shown.configuration;
    if (due || !same) {
      this.#shown = shown;
      const view = this.#make();
      if (due || this.#view === undefined || !looksLike(this.#view, view)) {
        this.#view = view;
        this.#sentMs = nowMs;
        this.#push(view);
      }
    }
    return this.#sentMs + this.#intervalMs;
  }
}

function looksLike(a: NodeView, b: NodeView): boolean {
  return a.role === b.role && a.established === b.established && a.epoch === b.epoch && a.leader === b.leader && a.members === b.members;
}
