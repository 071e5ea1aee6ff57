import type { TaskDefinition } from '@chrysalis/contracts';

/** Read from the definition's text, not with the engine's parser: what each task waits for. */
export const dependenciesOf = (tasks: readonly TaskDefinition[]): ReadonlyMap<string, readonly string[]> => {
  const names = new Set(tasks.map((t) => t.name));
  return new Map(
    tasks.map((t) => {
      const text = JSON.stringify([t.input, t.route, t.forEach?.items ?? '']).replaceAll('$${', '');
      const used = [...text.matchAll(/\$\{tasks\.([a-z][a-z0-9-]*)\./g)].map((m) => m[1]!);
      const asked = [...(t.when ?? '').matchAll(/\btasks(?:\.(\w+)|\[\s*["']([a-z0-9-]+)["']\s*\])/g)].map((m) => m[1] ?? m[2]!);
      return [t.name, [...new Set([...(t.after ?? []), ...used, ...asked])].filter((n) => names.has(n))];
    }),
  );
};
