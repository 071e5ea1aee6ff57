import type { Row } from './output.ts';

/** Where something stands that came to no good end, for `fields`; nothing where nothing is left. */
export const standingFields = (of: Row | undefined): Record<string, string | undefined> => {
  const standing = of?.['standing'] as { summary: string; next: readonly string[] } | undefined;
  return { stands: standing?.summary, next: standing?.next.join('\n') };
};

/** What to type after an operation that did not succeed, and where its story is. */
export const onwardLines = (operation: Row): string[] => [
  ...((operation['standing']?.next ?? []) as string[]).map((command) => `next: ${command}`),
  ...(operation['kind'] === 'migration' ? [`log: chrysalis migration logs ${operation['id']}`] : []),
];
