import type { Route, TaskDefinition, WorkflowDefinition } from '@chrysalis/contracts';

const passing = { attempts: 4, backoffMs: 250, maxBackoffMs: 5_000 };
const stubborn = { attempts: 10, backoffMs: 500, maxBackoffMs: 30_000 };
const provisioning: Route = { mode: 'group', group: 'provisioning' };
/** A host does it in milliseconds. While an address moves nobody has it between two of these. */
const HOST_MS = 15_000;
/** A guest that answers does in a second or so; that nobody does is known in five. */
const GUEST_MS = 30_000;
const text = { type: 'string', required: true } as const;
const number = { type: 'number', required: true } as const;
const addressId = '${params.addressId}';
const which = { network: '${params.network}', address: '${params.address}' };
const addressParams = { addressId: text, network: text, address: text };

/** The VM that is to have it, or the one that has it: by the names of their params. */
type Of = { readonly vm: string; readonly host: string; readonly epoch: string };
const vm: Of = { vm: 'vmId', host: 'hostId', epoch: 'epoch' };
const from: Of = { vm: 'fromVmId', host: 'fromHostId', epoch: 'fromEpoch' };
const vmParams = ({ vm: v, host, epoch }: Of) => ({ [v]: text, [host]: text, [epoch]: number });
const onHost = ({ host }: Of): Route => ({ mode: 'direct', group: 'agent-gateway', executor: `host:\${params.${host}}` });
const of = ({ vm: v, epoch }: Of) => ({ vmId: `\${params.${v}}`, epoch: `\${params.${epoch}}`, ...which });
const shaped = (task: string) => ({
  topology: `\${tasks.${task}.output.topology}`,
  topologyHash: `\${tasks.${task}.output.topologyHash}`,
});

const HAVE = 'host.bind-address';
const LACK = 'host.unbind-address';
/** Of the host: its filter, and who is told. */
const filter = (name: string, summary: string, on: Of, kind: typeof HAVE | typeof LACK, after: readonly string[]): TaskDefinition => ({
  name,
  kind,
  summary,
  input: of(on),
  after: [...after],
  route: onHost(on),
  deadlineMs: HOST_MS,
  retry: passing,
  compensation: { kind: kind === HAVE ? LACK : HAVE, input: of(on), route: onHost(on), deadlineMs: HOST_MS, retry: stubborn },
});
const guest = (name: string, summary: string, on: Of, carry: boolean, after: readonly string[]): TaskDefinition => {
  const kind = 'host.carry-address';
  const [route, deadlineMs] = [onHost(on), GUEST_MS];
  const compensation = { kind, input: { ...of(on), carry: !carry }, route, deadlineMs, retry: stubborn };
  return { name, kind, summary, input: { ...of(on), carry }, after: [...after], route, deadlineMs, retry: passing, compensation };
};
const record = (kind: string, summary: string, input: Record<string, unknown>, after: readonly string[]): TaskDefinition => ({
  name: 'record',
  kind,
  summary,
  input: { addressId, vmId: '${params.vmId}', ...input },
  after: [...after],
  route: provisioning,
  deadlineMs: 30_000,
  retry: stubborn,
});
const seen = { seen: '${tasks.carry.output.seen}' };

/** The guest first: what it says as it before its host lets it is dropped, and from then on nothing has to wait for it. */
export const bindAddress: WorkflowDefinition = {
  name: 'bind-address',
  version: 1,
  summary: 'Bind a reserved address to a VM',
  params: { ...addressParams, ...vmParams(vm) },
  tasks: [
    guest('carry', 'Have the guest carry the address, where somebody in it can be told', vm, true, []),
    filter('give', 'Let the VM have the address, and say so on its network', vm, HAVE, ['carry']),
    record('address.record-bound', 'Record that the VM has the address', { ...shaped('give'), ...seen }, ['give']),
  ],
  deadlineMs: 600_000,
  output: { addressId, vmId: '${params.vmId}' },
};

/**
 * From one VM to another: both guests are told outside of the time in which nobody has it, which is from `take` to `give`. Never both: `give`
 * waits for `take`, and its undoing comes before that of `take`.
 */
export const moveAddress: WorkflowDefinition = {
  name: 'move-address',
  version: 1,
  summary: 'Move a reserved address from one VM to another',
  params: { ...addressParams, ...vmParams(vm), ...vmParams(from) },
  tasks: [
    guest('carry', 'Have the guest carry the address, where somebody in it can be told', vm, true, []),
    filter('take', 'Let the VM that has the address have it no more', from, LACK, ['carry']),
    filter('give', 'Let the other VM have it, and say so on its network', vm, HAVE, ['take']),
    guest('drop', 'Have the guest that had it carry it no more, where somebody in it can be told', from, false, ['give']),
    record(
      'address.record-bound',
      'Record which VM has the address',
      { ...shaped('give'), ...seen, from: { vmId: '${params.fromVmId}', ...shaped('take') } },
      ['drop'],
    ),
  ],
  deadlineMs: 600_000,
  output: { addressId, vmId: '${params.vmId}' },
};

/** Undone, the VM has it as before, and whoever is on the network is told again. */
export const unbindAddress: WorkflowDefinition = {
  name: 'unbind-address',
  version: 1,
  summary: 'Take a reserved address from its VM',
  params: { ...addressParams, ...vmParams(vm) },
  tasks: [
    filter('take', 'Let the VM have the address no more', vm, LACK, []),
    guest('drop', 'Have the guest carry it no more, where somebody in it can be told', vm, false, ['take']),
    record('address.record-unbound', 'Record that the VM has the address no more', shaped('take'), ['drop']),
  ],
  deadlineMs: 600_000,
  output: { addressId },
};
