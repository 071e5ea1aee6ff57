import type { Cause } from '@chrysalis/contracts';
import type { HostStanding } from '../known/hosts.ts';
import type { Run } from '../sql/runs.ts';

const MARGIN_MS = 60_000;

/** It answers before its deadline, so that who is left is known: a tenth of its time before, or a minute. */
export const timeIsUp = ({ dispatch, startedAt }: Run, now: string): Cause | undefined => {
  const deadline = Date.parse(dispatch.deadlineAt);
  const margin = Math.min(MARGIN_MS, (deadline - Date.parse(startedAt)) / 10);
  if (Date.parse(now) < deadline - margin) return undefined;
  return { code: 'migration.time_is_up', message: `it had until ${dispatch.deadlineAt}, and began nothing more shortly before` };
};

/** Somebody wants the host to be used again: then nobody has to leave it. */
export const stopOf = ({ input: { hostId, since = 0 } }: Run, host: HostStanding | undefined): Cause | undefined => {
  if (hostId === undefined || host?.state !== 'enabled' || host.version < since) return undefined;
  return { code: 'host.enabled', message: `${hostId} was enabled while it was drained: nobody has to leave it` };
};

/** The workflow's own words, at whose end nobody hears more. */
export const CANCELLED = 'workflow.cancelled';
export const OVER = 'workflow.ended';
export const cancelled = (stop: Cause | null): stop is Cause => stop?.code === CANCELLED || stop?.code === OVER;
