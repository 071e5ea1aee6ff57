import type { Vm } from '@chrysalis/api-client';
import { UsageError } from '../errors.ts';

/** `team=web` sets a label, `team-` takes it away; as kubectl has it. */
export const labelChanges = (words: readonly string[]): Record<string, string | null> =>
  Object.fromEntries(
    words.map((word): [string, string | null] => {
      const at = word.indexOf('=');
      if (at > 0) return [word.slice(0, at), word.slice(at + 1)];
      if (at < 0 && word.length > 1 && word.endsWith('-')) return [word.slice(0, -1), null];
      throw new UsageError(`--label ${word}: KEY=VALUE sets a label, KEY- takes one away`);
    }),
  );

export const labelsOfNew = (words: readonly string[]): Record<string, string> => {
  const changes = Object.entries(labelChanges(words));
  const taken = changes.find(([, value]) => value === null);
  if (taken) throw new UsageError(`--label ${taken[0]}-: a new VM has none to take away`);
  return Object.fromEntries(changes) as Record<string, string>;
};

export const labelsText = (labels: Vm['labels']): string | undefined =>
  labels && Object.keys(labels).length > 0
    ? Object.entries(labels)
        .map(([key, value]) => `${key}=${value}`)
        .sort()
        .join(', ')
    : undefined;
