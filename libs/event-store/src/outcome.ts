import { fits } from './sql/append.ts';
import type { Append, Appended } from './types.ts';

/** `before`: the versions that the streams had. */
export const outcome = (list: readonly Append[], before: ReadonlyMap<string, number>): Appended => {
  const late = list.find((a) => !fits(a.expected, before.get(a.stream) ?? 0));
  if (late) return { ok: false, conflict: { stream: late.stream, expected: late.expected, actual: before.get(late.stream) ?? 0 } };
  return { ok: true, versions: Object.fromEntries(list.map((a) => [a.stream, (before.get(a.stream) ?? 0) + a.events.length])) };
};

export const checkShape = (list: readonly Append[]): void => {
  if (list.length === 0) throw new Error('nothing to append');
  if (list.length > 1 && new Set(list.map((a) => a.stream)).size !== list.length) throw new Error('a stream is named twice in one append');
};
