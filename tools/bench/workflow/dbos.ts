// DBOS as its documentation has it: registered workflow, functions as steps, its own pool, in one process with its caller.
import { DBOS } from '@dbos-inc/dbos-sdk';
import { serve, steps, type Contender } from './turn.ts';
import { versionOf } from './version.ts';

const nothing = async (): Promise<void> => undefined;
const fiveSteps = DBOS.registerWorkflow(
  async () => {
    for (let i = 0; i < steps; i++) await DBOS.runStep(nothing, { name: `step-${i}` });
  },
  { name: 'five-steps' },
);

const open = async ({ databaseUrl, poolSize }: Record<string, string>): Promise<Contender> => {
  DBOS.setConfig({ name: 'bench', systemDatabaseUrl: databaseUrl!, systemDatabasePoolSize: Number(poolSize), logLevel: 'error' });
  await DBOS.launch();
  return { version: versionOf('@dbos-inc/dbos-sdk'), flow: () => fiveSteps(), close: () => DBOS.shutdown() };
};

await serve(open);
