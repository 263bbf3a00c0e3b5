/**
 * Interns what finished outcomes have in common.
 *
 * Services run the same few kinds of transactions over and over: the group, decision, reason and branch list of a million finished
 * outcomes are a few dozen different ones. Each is stored once here and an outcome keeps its number. Found by walking a trie, so
 * that no key text is built per outcome.
 */
import { must } from "../base/index.js";
import type { AbortReason, Decision } from "./command.js";
import type { FinishedOutcome } from "./transaction.js";

export interface Shape {
  readonly group: string;
  readonly decision: Decision;
  readonly reason: AbortReason | undefined;
  readonly branches: FinishedOutcome["branches"];
}

class TrieNode {
  readonly parent: TrieNode | undefined;
  readonly key: string;
  children: Map<string, TrieNode> | undefined = undefined;
  entry: Entry | undefined = undefined;

  constructor(parent: TrieNode | undefined, key: string) {
    this.parent = parent;
    this.key = key;
  }

  child(key: string): TrieNode {
    this.children ??= new Map();
    let next = this.children.get(key);
    if (next === undefined) {
      next = new TrieNode(this, key);
      this.children.set(key, next);
    }
    return next;
  }
}

interface Entry {
  readonly shape: Shape;
  readonly index: number;
  readonly node: TrieNode;
  references: number;
}

export class ShapeTable {
  readonly #root = new TrieNode(undefined, "");
  readonly #entries: (Entry | undefined)[] = [];
  readonly #free: number[] = [];

  get size(): number {
    return this.#entries.length - this.#free.length;
  }

  /** The number of this shape, with one more reference to it. */
  intern(group: string, outcome: Pick<FinishedOutcome, "decision" | "reason" | "branches">): number {
    let node = this.#root
      .child(group)
      .child(outcome.decision)
      .child(outcome.reason ?? "");
    for (const branch of outcome.branches) {
      // A missing vote or heuristic needs a key that no present one has.
      const vote = branch.vote ?? "";
      node = node
        .child(branch.id)
        .child(branch.participant)
        .child(branch.kind === "tcc" ? `tcc ${vote}` : vote)
        .child(branch.heuristic ?? "");
    }
    let entry = node.entry;
    if (entry === undefined) {
      const { decision, reason, branches } = outcome;
      entry = { shape: { group, decision, reason, branches }, index: this.#free.pop() ?? this.#entries.length, node, references: 0 };
      this.#entries[entry.index] = entry;
      node.entry = entry;
    }
    entry.references++;
    return entry.index;
  }

  /** The same of a shape by itself, without a reference yet: {@link retain}. */
  internShape(shape: Shape): number {
    const { group, decision, reason, branches } = shape;
    const index = this.intern(group, { decision, reason, branches });
    must(this.#entries[index], "shape of a finished outcome").references--;
    return index;
  }

  /** `count` more references; without any the shape is gone. */
  retain(index: number, count: number): void {
    must(this.#entries[index], "shape of a finished outcome").references += count + 1;
    this.release(index);
  }

  get(index: number): Shape {
    return must(this.#entries[index], "shape of a finished outcome").shape;
  }

  /** One reference less; the last one removes the shape. */
  release(index: number): void {
    const entry = must(this.#entries[index], "shape of a finished outcome");
    if (--entry.references > 0) return;
    this.#entries[index] = undefined;
    this.#free.push(index);
    let node: TrieNode = entry.node;
    node.entry = undefined;
    while (node.parent !== undefined && node.entry === undefined && (node.children === undefined || node.children.size === 0)) {
      node.parent.children?.delete(node.key);
      node = node.parent;
    }
  }
}
