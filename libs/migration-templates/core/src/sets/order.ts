// In which order the VMs of a set go, and how many of them may have begun by now.
import type { SetPolicy } from '@chrysalis/contracts';

export type Order = Readonly<{ ok: true; vmIds: readonly string[] }> | Readonly<{ ok: false; cycle: readonly string[] }>;

/** As planned, but each behind those it waits for. Names that are not of the set are the caller's to refuse. */
export const orderOf = (vmIds: readonly string[], after: SetPolicy['after'] = {}): Order => {
  const placed = new Set<string>();
  let left = vmIds;
  while (left.length > 0) {
    const free = firstFree(left, placed, after);
    if (free.length === 0) return { ok: false, cycle: left };
    for (const id of free) placed.add(id);
    left = left.filter((id) => !placed.has(id));
  }
  return { ok: true, vmIds: [...placed] };
};

/** One pass: who is free by the time that the pass comes to it, so that what needs no order keeps the plan's. */
const firstFree = (left: readonly string[], placed: ReadonlySet<string>, after: NonNullable<SetPolicy['after']>): string[] => {
  const found = new Set<string>();
  for (const id of left) if ((after[id] ?? []).every((x) => placed.has(x) || found.has(x))) found.add(id);
  return [...found];
};

/** Where each part of the set ends in its order: the canary, then the waves; without either it is one part. */
export const partsOf = ({ canary, waves }: SetPolicy, total: number): readonly number[] => {
  const ends: number[] = [];
  let end = Math.min(canary ?? 0, total);
  if (end > 0) ends.push(end);
  for (let size = waves?.first ?? total; end < total; size *= waves?.growth ?? 1) {
    end = Math.min(end + size, total);
    ends.push(end);
  }
  return ends;
};

/** The VMs of the first part that is not through, and all before: those may begin. */
export const openPart = (order: readonly string[], parts: readonly number[], isThrough: (vmId: string) => boolean): readonly string[] => {
  let begin = 0;
  for (const end of parts) {
    if (!order.slice(begin, end).every(isThrough)) return order.slice(0, end);
    begin = end;
  }
  return order;
};
