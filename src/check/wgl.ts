/**
 * Linearizability by the algorithm of Wing and Gong with Lowe's memo: is there an order of the operations, respecting real time, that
 * the sequential model accepts?
 *
 * Histories are partitioned by key before they come here. Operations that stayed open may take effect at any time after their call,
 * or never. Iterative; a step budget ends in "unknown", which is never a pass.
 */

export interface WglOperation<I, O> {
  readonly input: I;
  /** Undefined: nobody knows what it did. */
  readonly output: O | undefined;
  /** Positions in the history's order of events. */
  readonly call: number;
  /** Infinity for an operation that stayed open. */
  readonly return: number;
}

export interface SequentialModel<S, I, O> {
  readonly initial: S;
  /** The state after the operation, or undefined when it cannot have given this output. `output` undefined: any effect it may have. */
  step(state: S, input: I, output: O | undefined): S | undefined;
  /** A text that is equal for equal states only. */
  key(state: S): string;
}

export type WglResult<I, O> =
  | { readonly kind: "ok" }
  | { readonly kind: "unknown"; readonly steps: number }
  | {
      readonly kind: "bad";
      /** The longest order that was found, and the operations of which none can follow it. */
      readonly longest: readonly WglOperation<I, O>[];
      readonly stuck: readonly WglOperation<I, O>[];
    };

interface Node {
  readonly operation: number;
  readonly isCall: boolean;
  previous: Node | undefined;
  next: Node | undefined;
  /** For a call: its return, when it has one. */
  match: Node | undefined;
}

export const WGL_STEPS_MAX = 2_000_000;

export function checkLinearizable<S, I, O>(
  operations: readonly WglOperation<I, O>[],
  model: SequentialModel<S, I, O>,
  stepsMax = WGL_STEPS_MAX,
): WglResult<I, O> {
  const head = link(operations);
  const words = Math.ceil(operations.length / 32) || 1;
  const done = new Int32Array(words);
  const seen = new Set<string>();
  const stack: { readonly node: Node; readonly state: S }[] = [];
  let longest: number[] = [];
  let state = model.initial;
  let entry = head.next;
  let steps = 0;
  while (entry !== undefined) {
    if (steps++ > stepsMax) return { kind: "unknown", steps };
    if (entry.isCall) {
      const operation = operations[entry.operation] as WglOperation<I, O>;
      const next = model.step(state, operation.input, operation.output);
      if (next !== undefined) {
        flip(done, entry.operation);
        const memo = `${done.join(",")}|${model.key(next)}`;
        if (!seen.has(memo)) {
          seen.add(memo);
          stack.push({ node: entry, state });
          if (stack.length > longest.length) longest = stack.map(({ node }) => node.operation);
          state = next;
          lift(entry);
          entry = head.next;
          continue;
        }
        flip(done, entry.operation);
      }
      entry = entry.next;
      continue;
    }
    // A return whose call is not in the order yet: everything before it was tried. Take back the last choice.
    const last = stack.pop();
    if (last === undefined) return bad(operations, longest);
    flip(done, last.node.operation);
    state = last.state;
    unlift(last.node);
    entry = last.node.next;
  }
  return { kind: "ok" };
}

/** The doubly linked list of calls and returns in history order, behind a head. */
function link<I, O>(operations: readonly WglOperation<I, O>[]): Node {
  const events: { readonly at: number; readonly node: Node }[] = [];
  operations.forEach((operation, index) => {
    const call: Node = { operation: index, isCall: true, previous: undefined, next: undefined, match: undefined };
    events.push({ at: operation.call, node: call });
    if (operation.return === Infinity) return;
    const end: Node = { operation: index, isCall: false, previous: undefined, next: undefined, match: undefined };
    call.match = end;
    events.push({ at: operation.return, node: end });
  });
  // Calls first where positions are equal: intervals are closed.
  events.sort((a, b) => a.at - b.at || Number(b.node.isCall) - Number(a.node.isCall));
  const head: Node = { operation: -1, isCall: true, previous: undefined, next: undefined, match: undefined };
  let tail = head;
  for (const { node } of events) {
    tail.next = node;
    node.previous = tail;
    tail = node;
  }
  return head;
}

function lift(call: Node): void {
  unlink(call);
  if (call.match !== undefined) unlink(call.match);
}

function unlift(call: Node): void {
  if (call.match !== undefined) relink(call.match);
  relink(call);
}

function unlink(node: Node): void {
  if (node.previous !== undefined) node.previous.next = node.next;
  if (node.next !== undefined) node.next.previous = node.previous;
}

function relink(node: Node): void {
  if (node.previous !== undefined) node.previous.next = node;
  if (node.next !== undefined) node.next.previous = node;
}

function flip(bits: Int32Array, index: number): void {
  bits[index >> 5] = (bits[index >> 5] ?? 0) ^ (1 << (index & 31));
}

function bad<I, O>(operations: readonly WglOperation<I, O>[], longest: readonly number[]): WglResult<I, O> {
  const order = longest.map((index) => operations[index] as WglOperation<I, O>);
  const inside = new Set(longest);
  const rest = operations.filter((_operation, index) => !inside.has(index));
  const firstReturn = Math.min(...rest.map((operation) => operation.return));
  return { kind: "bad", longest: order, stuck: rest.filter((operation) => operation.call <= firstReturn) };
}
