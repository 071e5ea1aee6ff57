import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { leash, sweepLeashes } from '../../infra/process/leash.ts';
import { sweepFabrics } from '../../infra/network/fabric.ts';
import { fabricsDir } from './hosts.ts';
import { interruption } from './interruption.ts';
import { cacheDir } from './platform.ts';

/** Longer than any service takes to end in order. */
const END_WITHIN_MS = 20_000;
/** What 128 + SIGINT is to a shell. */
export const INTERRUPTED = 130;

const abort = new AbortController();
/** Aborted at the first signal: what is being started is given up. */
export const interrupted: AbortSignal = abort.signal;

const endings: (() => Promise<unknown>)[] = [];
/** To be done when the tool ends, in whatever way but by SIGKILL; the last one first. */
export const atEnd = (ending: () => Promise<unknown>): void => void endings.push(ending);
const end = async (): Promise<void> => {
  for (const ending of endings.splice(0).reverse()) await ending().catch((error: unknown) => console.error(String(error)));
};

/** What runs that were killed have left: processes, and networks of tools and of tests. */
export const sweep = async (): Promise<string[]> => {
  const ended = sweepLeashes();
  const swept = [...(await sweepFabrics(fabricsDir)), ...(await sweepFabrics(path.join(cacheDir, 'fabrics')))];
  return [...(ended > 0 ? [`${ended} process${ended === 1 ? '' : 'es'}`] : []), ...swept.map((id) => `network ${id}`)];
};

/**
 * How every tool runs that starts VMs or may do so through another: nothing of it stays, whether it comes to its end, fails, is interrupted
 * or killed. At SIGINT, SIGTERM and SIGHUP it takes down in order what it has started; after SIGKILL its leash does, and the next run
 * removes what is no process.
 */
export const asTool = async (
  main: () => Promise<number>,
  o: { readonly failed?: (error: unknown) => string; readonly interrupted?: () => number } = {},
): Promise<never> => {
  leash();
  const stopped = interruption();
  void stopped.then(() => abort.abort());
  const swept = await sweep();
  if (swept.length > 0) console.error(`removed what an earlier run had left: ${swept.join(', ')}`);
  const code = await Promise.race([main(), stopped.then(() => o.interrupted?.() ?? INTERRUPTED)]).catch((error: unknown) => {
    console.error(o.failed?.(error) ?? String((error as Error).stack ?? error));
    return 1;
  });
  await Promise.race([end(), sleep(END_WITHIN_MS)]);
  process.exit(code);
};
