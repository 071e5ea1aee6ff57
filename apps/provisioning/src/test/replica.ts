import { every, runAsProcess, type ServiceConfig } from '@chrysalis/service-kit';
import { start } from '../main.ts';
import { Restarts } from '../restart/restarts.ts';

const FASTER = 100;

/** The service as a process, which looks at its timers also by a clock that runs so much faster: a start that waits for 10 s comes in 0.1 s. */
await runAsProcess(async (config: ServiceConfig) => {
  const running = await start(config);
  const since = Date.now();
  const clock = (): string => new Date(since + (Date.now() - since) * FASTER).toISOString();
  const restarts = new Restarts({ ...running.service, clock });
  const end = every(50, running.service.log, () => restarts.look());
  return { ...running, stop: () => end().then(() => running.stop()) };
});
