import type { Report } from './faults.ts';
import type { GraphNode } from './graph-node.ts';

/** Every node after all it depends on; nodes on a cycle, and those behind one, are left out. */
export const topologicalOrder = (nodes: readonly GraphNode[]): readonly number[] => {
  const waiting = nodes.map((n) => n.dependsOn.length);
  const order = nodes.filter((n) => n.dependsOn.length === 0).map((n) => n.index);
  for (let i = 0; i < order.length; i++) for (const next of nodes[order[i]!]!.dependants) if (--waiting[next]! === 0) order.push(next);
  return order;
};

/** One fault for each knot of tasks that depend on themselves through each other (each strongly connected component). */
export const reportCycles = (nodes: readonly GraphNode[], report: Report): void => {
  for (const knot of components(nodes)) {
    const [first] = knot;
    if (knot.length === 1 && !nodes[first!]!.dependsOn.includes(first!)) continue;
    const names = knot.slice(0, 20).map((i) => nodes[i]!.definition.name);
    const more = knot.length > names.length ? ` and ${knot.length - names.length} more` : '';
    report('workflow.cycle', `tasks[${Math.min(...knot.slice(0, 1000))}]`, `these wait for each other: ${names.join(', ')}${more}`);
  }
};

/** Tarjan's components, with a stack of our own: a chain of 10,000 tasks is deeper than the machine's. O(nodes + edges). */
const components = (nodes: readonly GraphNode[]): number[][] => {
  const found: number[][] = [];
  const rank = new Int32Array(nodes.length).fill(-1);
  const low = new Int32Array(nodes.length);
  const open = new Uint8Array(nodes.length);
  const stack: number[] = [];
  let next = 0;
  const enter = (v: number): Frame => {
    rank[v] = low[v] = next++;
    stack.push(v);
    open[v] = 1;
    return { v, edge: 0 };
  };
  const leave = (v: number, parent: Frame | undefined): void => {
    if (parent) low[parent.v] = Math.min(low[parent.v]!, low[v]!);
    if (low[v] === rank[v]) found.push(closed(stack, open, v));
  };
  const walk = (from: number): void => {
    const frames: Frame[] = [enter(from)];
    for (let frame = frames.at(-1); frame; frame = frames.at(-1)) {
      const { v } = frame;
      const w = nodes[v]!.dependsOn[frame.edge++];
      if (w === undefined) {
        frames.pop();
        leave(v, frames.at(-1));
      } else if (rank[w]! < 0) frames.push(enter(w));
      else if (open[w]) low[v] = Math.min(low[v]!, rank[w]!);
    }
  };
  for (const { index } of nodes) if (rank[index]! < 0) walk(index);
  return found;
};
type Frame = { readonly v: number; edge: number };

const closed = (stack: number[], open: Uint8Array, root: number): number[] => {
  const knot = stack.splice(stack.lastIndexOf(root));
  for (const v of knot) open[v] = 0;
  return knot;
};
