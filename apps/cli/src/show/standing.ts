import type { Operation, Standing } from '@chrysalis/api-client';

/** Where something stands that came to no good end, for `fields`; nothing where nothing is left. */
export const standingFields = (of: { readonly standing?: Standing } | undefined): Record<string, string | undefined> => {
  const standing = of?.standing;
  return { stands: standing?.summary, next: standing?.next.join('\n') };
};

/** What to type after an operation that did not succeed, and where its story is. */
export const onwardLines = ({ standing, kind, id }: Pick<Operation, 'standing' | 'kind' | 'id'>): string[] => [
  ...(standing?.next ?? []).map((command) => `next: ${command}`),
  ...(kind === 'migration' ? [`log: chrysalis migration logs ${id}`] : []),
];
