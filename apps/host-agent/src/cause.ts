import type { Cause } from '@chrysalis/contracts';
import { HypervisorError } from '@chrysalis/hypervisor';
import { TaskFailure } from './task-failure.ts';

/** A refusal keeps its code on its way to the control plane; what nobody foresaw is `host.fault`, and may be tried again. */
export const causeOf = (error: unknown): Cause => {
  const message = (error instanceof Error ? error.message : String(error)).slice(0, 2000);
  if (error instanceof TaskFailure)
    return { code: error.code, message, retriable: error.retriable, ...(error.detail === undefined ? {} : { detail: error.detail }) };
  if (error instanceof HypervisorError) return { code: error.code, message, retriable: passing.has(error.code), detail: error.detail };
  const { code, retriable = true, detail } = (error ?? {}) as { code?: unknown; retriable?: boolean; detail?: unknown };
  if (code === 'ENOSPC' || code === 'EDQUOT') return { code: 'host.disk_full', message, retriable: true };
  return typeof code === 'string' && /^[a-z-]+\.[a-z_-]+$/.test(code)
    ? { code, message, retriable, ...(detail === undefined ? {} : { detail }) }
    : { code: 'host.fault', message, retriable: true };
};
const passing: ReadonlySet<string> = new Set([
  'hypervisor.qmp_timeout',
  'hypervisor.qmp_closed',
  'hypervisor.unplug_timeout',
  'hypervisor.injected',
]);
