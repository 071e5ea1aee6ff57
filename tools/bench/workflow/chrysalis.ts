import { readFileSync } from 'node:fs';
import type { WorkflowDefinition } from '@chrysalis/contracts';
import { openEngine } from './engine.ts';
import { serve, steps, type Contender } from './turn.ts';

/** Each step waits for the one before; its handler does nothing. */
const definition: WorkflowDefinition = {
  name: 'five-steps',
  version: 1,
  summary: 'Five steps, one after another',
  params: {},
  tasks: Array.from({ length: steps }, (_, i) => ({
    name: `step-${i}`,
    kind: 'bench.nothing',
    summary: `Step ${i}`,
    input: {},
    deadlineMs: 30_000,
    route: { mode: 'group', group: 'workflow' },
    ...(i === 0 ? {} : { after: [`step-${i - 1}`] }),
  })),
  deadlineMs: 120_000,
};

const open = async ({ databaseUrl }: Record<string, string>): Promise<Contender> => {
  const engine = await openEngine(databaseUrl!, { 'bench.nothing': () => ({ ok: true, output: {} }) });
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as { version: string };
  return { version, flow: async () => void (await engine.run(definition)), close: engine.close };
};

await serve(open);
