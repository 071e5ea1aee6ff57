import { configFromEnvironment, type ServiceConfig } from './config.ts';
import { createLog } from './log.ts';
import type { RunningService } from '../service.ts';

/** A service as a process of its own: configuration from the environment, `ready <url>` to a parent over IPC, ends with a signal or its parent. */
export const runAsProcess = async (start: (config: ServiceConfig) => Promise<RunningService>): Promise<void> => {
  const log = createLog('process');
  const running = await start(configFromEnvironment());
  process.send?.({ type: 'ready', url: running.url });
  let ending = false;
  const end = (why: string): void => {
    if (ending) return;
    ending = true;
    log.info({ why }, 'stopping');
    setTimeout(() => process.exit(1), 10_000).unref();
    running.stop().then(
      () => process.exit(0),
      (err: unknown) => (log.error({ err }, 'stop failed'), process.exit(1)),
    );
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => end(signal));
  if (process.send) process.on('disconnect', () => end('parent gone'));
};
