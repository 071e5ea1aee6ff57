import type { Vm } from '@chrysalis/api-client';

/** As the contracts have them; those are not loaded for a word. */
export const restartPolicies = ['never', 'on-failure', 'always'] as const;

export const isOff = ({ observed }: Vm): boolean => observed !== undefined && ['shut-down', 'panicked', 'gone'].includes(observed.state);

/** The policy; of a VM that is meant to run and is off, what comes of it, or what to type. */
export const restartText = (vm: Vm): string => {
  const { policy, attempts, dueAt, gaveUp } = vm.restart ?? { policy: 'never' };
  const wanted = (vm.desired ?? 'running') === 'running' && vm.state === 'running' && !vm.action && isOff(vm);
  if (!wanted) return policy;
  if (dueAt) return `${policy}: started again at ${dueAt} (start ${attempts} in a row)`;
  const start = `next: chrysalis vm start ${vm.vmId}`;
  if (gaveUp) return `${policy}: given up after ${attempts} starts in a row\n${start}`;
  return `${policy}: it is off, and stays off\n${start}${policy === 'never' ? `\nor:   chrysalis vm set ${vm.vmId} --restart on-failure` : ''}`;
};
