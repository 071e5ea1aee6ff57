import type { Vm } from '@chrysalis/api-client';
import { Option } from 'commander';

/** As the contracts have them; those are not loaded for a word. */
const restartPolicies = ['never', 'on-failure', 'always'] as const;

export const restartOption = (): Option =>
  new Option(
    '--restart <policy>',
    'what is done where it goes off though it is meant to run (a shutdown of its own is no failure)',
  ).choices(restartPolicies);

const isOff = ({ observed }: Vm): boolean => observed !== undefined && ['shut-down', 'panicked', 'gone'].includes(observed.state);

/** As far as its host has said. */
export const runs = ({ observed }: Vm): boolean => observed === undefined || observed.state === 'running' || observed.state === 'unknown';
export const standsStill = ({ observed }: Vm): boolean => observed?.state === 'paused' || observed?.state === 'io-error';

/** In a list: the policy, where there is one, and what comes of it: `on-failure, starts 12:00:10Z` (the day is today). */
export const restartCell = ({ restart }: Vm): string | undefined => {
  if (!restart || (restart.policy === 'never' && !restart.dueAt)) return undefined;
  const { policy, dueAt, gaveUp } = restart;
  if (dueAt) return `${policy}, starts ${dueAt.slice(11, 19)}Z`;
  return gaveUp ? `${policy}, given up` : policy;
};

/** The policy; of a VM that is not as it is meant to be, what comes of it, or what to type. */
export const restartText = (vm: Vm): string => {
  const { policy, attempts, dueAt, gaveUp } = vm.restart ?? { policy: 'never' };
  if (vm.action || (vm.state !== 'running' && vm.state !== 'paused')) return policy;
  const next = (verb: string): string => `next: chrysalis vm ${verb} ${vm.vmId}`;
  if (!isOff(vm)) return vm.state === 'running' && standsStill(vm) ? `${policy}: it stands still\n${next('resume')}` : policy;
  if (vm.state === 'paused') return `${policy}: it is off, and was meant to be paused\n${next('start')}`;
  if (dueAt) return `${policy}: started again at ${dueAt} (start ${attempts} in a row)`;
  if (gaveUp) return `${policy}: given up after ${attempts} starts in a row\n${next('start')}`;
  return `${policy}: it is off, and stays off\n${next('start')}${policy === 'never' ? `\nor:   chrysalis vm set ${vm.vmId} --restart on-failure` : ''}`;
};
