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

type Waiting = { names(): readonly string[]; waitsFor(name: string): readonly string[] };

/** All that depends on a task, directly or not. */
export const dependantsOf = (ledger: Waiting, task: string): ReadonlySet<string> => {
  const direct = new Map<string, string[]>();
  for (const name of ledger.names()) for (const d of ledger.waitsFor(name)) direct.set(d, [...(direct.get(d) ?? []), name]);
  const seen = new Set<string>();
  const todo = [...(direct.get(task) ?? [])];
  for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
    if (seen.has(name)) continue;
    seen.add(name);
    todo.push(...(direct.get(name) ?? []));
  }
  return seen;
};
