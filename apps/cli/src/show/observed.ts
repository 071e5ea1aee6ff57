import type { Vm } from '@chrysalis/api-client';
import { age } from './output.ts';

type Observed = Vm['observed'];

/** In a list: what a VM was last seen to do, since when where it does not run. */
export const observedCell = (o: Observed): string | undefined => o && (o.state === 'running' ? 'running' : `${o.state} ${age(o.since)}`);

/** `shut-down since 2026-01-01T00:00:00.000Z: the guest powered itself off`, and how often it restarted. */
export const observedText = (o: Observed): string | undefined =>
  o &&
  [
    `${o.state} since ${o.since}${o.cause ? `: ${o.cause.message}` : ''}`,
    ...(o.resets > 0 ? [`restarted ${o.resets === 1 ? 'once' : `${o.resets} times`}, the last time at ${o.lastResetAt}`] : []),
  ].join('\n');
