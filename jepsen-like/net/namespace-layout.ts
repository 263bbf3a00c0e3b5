/**
 * How the hosts of a cluster under test are wired: names, addresses, and the commands that make it all. Pure text.
 *
 * Each node is a network namespace with four cards, each on a segment of its own: `p` to the other nodes, `c` to clients, `b` to
 * participants ("banks"), `a` for the harness's own sight, which is never broken. A segment is a bridge in the switch's namespace; this
 * process is on the last three. There is no default route: nothing can leave. Hardware addresses are fixed and known to all, and there is
 * no IPv6 that says hello by itself: a lost packet is a lost packet of the protocol, never of address resolution.
 */
import type { NodeId } from "../../src/index.js";
import type { End, Grudge } from "./network.js";

export const SEGMENTS = ["p", "c", "b", "a"] as const;
export type Segment = (typeof SEGMENTS)[number];
const SEGMENT_NUMBER: Readonly<Record<Segment, number>> = { p: 0, c: 1, b: 2, a: 3 };

/** The last number of this process's addresses. */
const HARNESS = 100;
const HARNESS_SEGMENTS = ["c", "b", "a"] as const;

export const NETNS_DIR = "/run/netns";
export const TABLE = "quorate";
export const CHAIN = "links";
export const PORTS = { client: 7400, peer: 7500, admin: 7600 } as const;

export function namespaceOf(run: string, host: NodeId | "switch"): string {
  return `quorate-${run}-${host === "switch" ? host : `n${host}`}`;
}

/** Runs a program in one of the namespaces; it becomes that program, under the same process id. */
export function inside(namespace: string): readonly string[] {
  return ["nsenter", `--net=${NETNS_DIR}/${namespace}`, "--"];
}

export function addressOf(segment: Segment, host: NodeId | "harness"): string {
  return `10.77.${SEGMENT_NUMBER[segment]}.${host === "harness" ? HARNESS : host}`;
}

function hardwareOf(segment: Segment, host: NodeId | "harness"): string {
  const hex = (n: number): string => n.toString(16).padStart(2, "0");
  return `02:71:75:00:${hex(SEGMENT_NUMBER[segment])}:${hex(host === "harness" ? HARNESS : host)}`;
}

/** The bridge's end of a card. */
export function portOf(segment: Segment, host: NodeId | "harness"): string {
  return host === "harness" ? `harness-${segment}` : `n${host}-${segment}`;
}

/** For `ip -batch` in this process's own namespace: cards are made here and moved to where they belong. */
export function wiring(run: string, nodes: readonly NodeId[]): string {
  const lines = [`netns add ${namespaceOf(run, "switch")}`, "link set lo up"];
  for (const node of nodes) lines.push(`netns add ${namespaceOf(run, node)}`);
  for (const segment of SEGMENTS) {
    for (const node of nodes)
      lines.push(
        `link add quorate-${segment} netns ${namespaceOf(run, node)} address ${hardwareOf(segment, node)} type veth peer name ${portOf(segment, node)} netns ${namespaceOf(run, "switch")}`,
      );
  }
  for (const segment of HARNESS_SEGMENTS)
    lines.push(
      `link add quorate-${segment} address ${hardwareOf(segment, "harness")} type veth peer name ${portOf(segment, "harness")} netns ${namespaceOf(run, "switch")}`,
      ...cardUp(segment, "harness", nodes),
    );
  return batch(lines);
}

/** For `ip -batch` in the switch's namespace. */
export function switchWiring(nodes: readonly NodeId[]): string {
  return batch(
    SEGMENTS.flatMap((segment) => {
      const hosts = [...nodes, ...(segment === "p" ? [] : (["harness"] as const))];
      return [
        `link add bridge-${segment} type bridge`,
        `link set bridge-${segment} up`,
        ...hosts.map((host) => `link set ${portOf(segment, host)} master bridge-${segment} up`),
      ];
    }),
  );
}

/** For `ip -batch` in a node's namespace. */
export function nodeWiring(node: NodeId, nodes: readonly NodeId[]): string {
  return batch(["link set lo up", ...SEGMENTS.flatMap((segment) => cardUp(segment, node, nodes))]);
}

function cardUp(segment: Segment, host: NodeId | "harness", nodes: readonly NodeId[]): readonly string[] {
  const others = [...nodes, ...(segment === "p" ? [] : (["harness"] as const))].filter((other) => other !== host);
  return [
    `address add ${addressOf(segment, host)}/24 dev quorate-${segment}`,
    `link set quorate-${segment} addrgenmode none`,
    `link set quorate-${segment} up`,
    ...others.map(
      (other) => `neighbour replace ${addressOf(segment, other)} lladdr ${hardwareOf(segment, other)} dev quorate-${segment} nud permanent`,
    ),
  ];
}

function batch(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}

/** The directed pairs of ports that packets from one end to the other pass. Nodes also ask each other on the clients' segment. */
export function portPairs(from: End, to: End): readonly (readonly [string, string])[] {
  const segments = segmentsOf(from, to);
  const host = (end: End): NodeId | "harness" => (typeof end === "number" ? end : "harness");
  return segments.map((segment) => [portOf(segment, host(from)), portOf(segment, host(to))] as const);
}

export function segmentsOf(a: End, b: End): readonly Segment[] {
  if (a === "clients" || b === "clients") return ["c"];
  if (a === "participants" || b === "participants") return ["b"];
  return ["p", "c"];
}

/** For `nft -f`: the whole table anew, in one transaction. Every rule counts, and says in its comment what and for whom. */
export function ruleset(grudges: readonly Grudge[]): string {
  const rules = grudges.flatMap(({ from, to, lossPercent }, index) =>
    portPairs(from, to).flatMap(([into, out]) => {
      const match = `iifname "${into}" oifname "${out}"`;
      const chance = lossPercent >= 100 ? "" : ` numgen random mod 100 < ${lossPercent}`;
      return [`    ${match}${chance} counter drop comment "drop ${index}"`, `    ${match} counter accept comment "pass ${index}"`];
    }),
  );
  return [
    `table bridge ${TABLE}`,
    `delete table bridge ${TABLE}`,
    `table bridge ${TABLE} {`,
    `  chain ${CHAIN} {`,
    "    type filter hook forward priority 0; policy accept;",
    ...rules,
    "  }",
    "}",
    "",
  ].join("\n");
}

export interface Counted {
  readonly dropped: number;
  readonly passed: number;
}

/** From `nft -j list table`: what became of the packets of each grudge, by its place in the list that was loaded. */
export function countersOf(json: string, grudges: number): readonly Counted[] {
  const counted = Array.from({ length: grudges }, () => ({ dropped: 0, passed: 0 }));
  const { nftables } = JSON.parse(json) as { readonly nftables: readonly NftObject[] };
  for (const { rule } of nftables) {
    const [kind, index] = rule?.comment?.split(" ") ?? [];
    const one = counted[Number(index)];
    const packets = rule?.expr.find((each) => each.counter !== undefined)?.counter?.packets;
    if (one === undefined || packets === undefined) continue;
    if (kind === "drop") one.dropped += packets;
    else one.passed += packets;
  }
  return counted;
}

interface NftObject {
  readonly rule?: {
    readonly comment?: string;
    readonly expr: readonly { readonly counter?: { readonly packets: number } }[];
  };
}
