import type { TaskDefinition } from '@chrysalis/contracts';
import type { Draft } from './draft.ts';
import type { Instance, List } from './state.ts';

const LEVELS = 10;
const USUAL = 5;
export const noneReady: readonly List[] = Array.from({ length: LEVELS }, () => undefined);
export const priorityOf = (definition: TaskDefinition): number => definition.priority ?? USUAL;

/** Tasks that may be given out wait by priority; the one let go last is the first of its level. */
export const pushReady = (draft: Draft, index: number): void => {
  const level = priorityOf(draft.graph.nodes[index]!.definition);
  draft.ready = draft.ready.with(level, { head: index, tail: draft.ready[level] });
};

export const dropReady = (draft: Draft, index: number): void => {
  const level = priorityOf(draft.graph.nodes[index]!.definition);
  const list = without(draft.ready[level], index);
  if (list !== draft.ready[level]) draft.ready = draft.ready.with(level, list);
};

export const firstReady = ({ ready }: Instance): number | undefined => {
  for (let level = LEVELS - 1; level >= 0; level--) {
    const list = ready[level];
    if (list) return list.head;
  }
  return undefined;
};

/** The head is what is asked for, nearly always; no recursion, as a list may be as long as the definition. */
export const without = (list: List, index: number): List => {
  if (list?.head === index) return list.tail;
  const before: number[] = [];
  for (let rest = list; rest; rest = rest.tail) {
    if (rest.head === index) return before.reduceRight<List>((tail, head) => ({ head, tail }), rest.tail);
    before.push(rest.head);
  }
  return list;
};
