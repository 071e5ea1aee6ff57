import type { Blocker, Code, ObservedState } from '@chrysalis/contracts';
import { blocker } from './blockers.ts';
import type { KnownVm } from './known.ts';

type Reason = Readonly<{ code: Code; is: string; remedy: (vm: string) => string }>;
const again = (vm: string): string => `chrysalis vm start ${vm} starts it again; or delete it`;
const goesOn = (vm: string): string => `chrysalis vm resume ${vm} lets it run on`;

/** Why a guest that its host sees do anything but run cannot be moved or changed. A code never changes its meaning. */
const reasons: Readonly<Record<Exclude<ObservedState, 'running'>, Reason>> = {
  'shut-down': { code: 'vm.shut_down', is: 'is off', remedy: again },
  panicked: { code: 'vm.panicked', is: 'panicked', remedy: again },
  'io-error': { code: 'vm.io_error', is: 'stands still at a disk', remedy: (vm) => `make room where its volumes are, then ${goesOn(vm)}` },
  'internal-error': {
    code: 'vm.internal_error',
    is: 'cannot go on',
    remedy: (vm) => `chrysalis vm start ${vm} --force starts it anew; or delete it`,
  },
  gone: { code: 'vm.gone', is: 'has no process any more', remedy: again },
  paused: { code: 'vm.paused', is: 'is stopped on its host', remedy: goesOn },
  unknown: { code: 'vm.unseen', is: 'is not seen', remedy: () => 'see why its hypervisor does not answer on that host' },
};

export const observedBlockers = ({ vmId, name, hostId, observed }: Pick<KnownVm, 'vmId' | 'name' | 'hostId' | 'observed'>): Blocker[] => {
  if (!observed || observed.state === 'running') return [];
  const { code, is, remedy } = reasons[observed.state];
  const why = observed.cause ? `: ${observed.cause.message}` : '';
  return [blocker(code, vmId, `${vmId} ${is} on ${hostId} since ${observed.since}${why}`, remedy(name ?? vmId))];
};
