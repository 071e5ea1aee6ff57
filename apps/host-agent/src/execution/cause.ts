import { causeOf as codedOr, type Cause } from '@chrysalis/contracts';
import { HypervisorError } from '@chrysalis/hypervisor';

/** A refusal keeps its code on its way to the control plane; what nobody foresaw is `host.fault`, and may be tried again. */
export const causeOf = (error: unknown): Cause => {
  const cause = codedOr(error, 'host.fault');
  if (error instanceof HypervisorError) return { ...cause, retriable: passing.has(error.code) };
  const { code } = (error ?? {}) as { code?: unknown };
  return code === 'ENOSPC' || code === 'EDQUOT' ? { ...cause, code: 'host.disk_full' } : cause;
};
const passing: ReadonlySet<string> = new Set([
  'hypervisor.qmp_timeout',
  'hypervisor.qmp_closed',
  'hypervisor.unplug_timeout',
  'hypervisor.injected',
]);
