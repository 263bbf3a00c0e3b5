/**
 * Strongly connected parts of a directed graph (Tarjan), and short cycles in them. Iterative: a history has many thousand nodes.
 */

/** Parts of two nodes or more; each ascending. `next` gives the successors of a node. */
export function components(size: number, next: (node: number) => readonly number[]): readonly (readonly number[])[] {
  const index = new Int32Array(size).fill(-1);
  const low = new Int32Array(size);
  const onStack = new Uint8Array(size);
  const stack: number[] = [];
  const found: number[][] = [];
  let counter = 0;
  for (let root = 0; root < size; root++) {
    if (index[root] !== -1) continue;
    const work: { readonly node: number; readonly edges: readonly number[]; at: number }[] = [];
    const enter = (node: number): void => {
      index[node] = low[node] = counter++;
      onStack[node] = 1;
      stack.push(node);
      work.push({ node, edges: next(node), at: 0 });
    };
    enter(root);
    for (let frame = work.at(-1); frame !== undefined; frame = work.at(-1)) {
      const { node, edges } = frame;
      const to = edges[frame.at++];
      if (to !== undefined) {
        if (index[to] === -1) enter(to);
        else if (onStack[to] === 1) low[node] = Math.min(low[node] ?? 0, index[to] ?? 0);
        continue;
      }
      work.pop();
      const parent = work.at(-1)?.node;
      if (parent !== undefined) low[parent] = Math.min(low[parent] ?? 0, low[node] ?? 0);
      if (low[node] !== index[node]) continue;
      const part: number[] = [];
      for (let member = stack.pop(); member !== undefined; member = stack.pop()) {
        onStack[member] = 0;
        part.push(member);
        if (member === node) break;
      }
      if (part.length > 1) found.push(part.sort((a, b) => a - b));
    }
  }
  return found;
}

/** The nodes of a shortest way from one node to another, both included, over `next`; undefined when there is none. */
export function shortestPath(from: number, to: number, next: (node: number) => readonly number[]): readonly number[] | undefined {
  const previous = new Map<number, number>([[from, from]]);
  const queue = [from];
  for (let at = 0; at < queue.length; at++) {
    const node = queue[at] as number;
    if (node === to) {
      const path = [to];
      for (let step = to; step !== from;) path.unshift((step = previous.get(step) as number));
      return path;
    }
    for (const successor of next(node)) {
      if (previous.has(successor)) continue;
      previous.set(successor, node);
      queue.push(successor);
    }
  }
  return undefined;
}
