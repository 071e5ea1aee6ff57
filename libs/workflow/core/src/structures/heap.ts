/** A leftist heap: persistent, `push` and `pop` in O(log n), the least entry at hand. `undefined` is the empty heap. */
export type Heap<T> = { readonly rank: number; readonly least: T; readonly left: Heap<T>; readonly right: Heap<T> } | undefined;
export type Before<T> = (a: T, b: T) => boolean;

export const push = <T>(heap: Heap<T>, entry: T, before: Before<T>): Heap<T> =>
  merge(heap, { rank: 1, least: entry, left: undefined, right: undefined }, before);

export const pop = <T>(heap: Heap<T>, before: Before<T>): Heap<T> => heap && merge(heap.left, heap.right, before);

const merge = <T>(a: Heap<T>, b: Heap<T>, before: Before<T>): Heap<T> => {
  if (!a) return b;
  if (!b) return a;
  const [top, other] = before(b.least, a.least) ? [b, a] : [a, b];
  const merged = merge(top.right, other, before);
  const [left, right] = (top.left?.rank ?? 0) >= (merged?.rank ?? 0) ? [top.left, merged] : [merged, top.left];
  return { rank: (right?.rank ?? 0) + 1, least: top.least, left, right };
};
