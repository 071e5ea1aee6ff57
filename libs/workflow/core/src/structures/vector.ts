/**
 * A persistent vector: `set` shares all but one path of the tree, so that an event of an instance with 10,000 tasks costs three
 * copies of 32 words, and every earlier state stays what it was.
 */
export type Vector<T> = { readonly size: number; readonly shift: number; readonly root: Node<T> };
type Node<T> = readonly (Node<T> | T)[];

const BITS = 5;
const WIDTH = 1 << BITS;
const MASK = WIDTH - 1;

export const vectorOf = <T>(items: readonly T[]): Vector<T> => {
  let level: (Node<T> | T)[] = [...items];
  let shift = 0;
  while (level.length > WIDTH) {
    const above: Node<T>[] = [];
    for (let i = 0; i < level.length; i += WIDTH) above.push(level.slice(i, i + WIDTH));
    level = above;
    shift += BITS;
  }
  return { size: items.length, shift, root: level };
};

/** The item at `index`, which the caller knows to be inside. */
export const get = <T>(vector: Vector<T>, index: number): T => {
  let node = vector.root;
  for (let shift = vector.shift; shift > 0; shift -= BITS) node = node[(index >>> shift) & MASK] as Node<T>;
  return node[index & MASK] as T;
};

export const set = <T>(vector: Vector<T>, index: number, item: T): Vector<T> => ({
  ...vector,
  root: withItem(vector.root, vector.shift, index, item),
});

const withItem = <T>(node: Node<T>, shift: number, index: number, item: T): Node<T> => {
  const copy = node.slice();
  const slot = (index >>> shift) & MASK;
  copy[slot] = shift === 0 ? item : withItem(node[slot] as Node<T>, shift - BITS, index, item);
  return copy;
};

/** O(size): for what is added once, not for each of many. */
export const concat = <T>(vector: Vector<T>, items: readonly T[]): Vector<T> => vectorOf([...toArray(vector), ...items]);

export const toArray = <T>(vector: Vector<T>): T[] => {
  let level: readonly unknown[] = vector.root;
  for (let shift = vector.shift; shift > 0; shift -= BITS) level = (level as (readonly unknown[])[]).flat(1);
  return level as T[];
};
