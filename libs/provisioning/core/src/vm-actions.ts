import { vmActions, type TaskDefinition, type VmAction, type VmActionOptions, type WorkflowDefinition } from '@chrysalis/contracts';

/** A guest is given so long to do as it is asked; what comes after has room besides. */
export const ACTION_TIMEOUT_MS = 60_000;
const BOOT_MS = 180_000;
const MARGIN_MS = 30_000;

const onHost: TaskDefinition['route'] = { mode: 'direct', group: 'agent-gateway', executor: 'host:${params.hostId}' };
const vm = { vmId: '${params.vmId}', epoch: '${params.epoch}' };
const passing = { attempts: 4, backoffMs: 250, maxBackoffMs: 5_000 };
const stubborn = { attempts: 10, backoffMs: 500, maxBackoffMs: 30_000 };
const undone = (kind: string, input: Record<string, unknown> = {}): NonNullable<TaskDefinition['compensation']> => ({
  kind,
  input: { ...vm, ...input },
  route: onHost,
  deadlineMs: 60_000,
  retry: stubborn,
});

type Act = Omit<TaskDefinition, 'name' | 'route' | 'retry' | 'input'> & { readonly input?: Record<string, unknown> };
/**
 * What is undone where it did not come to its end in time: a start, a pause, a continuation. A guest that was told to shut down or to
 * restart cannot be told otherwise; what it does after all is seen by its host.
 */
const acts: Readonly<Record<VmAction, (o: VmActionOptions) => Act>> = {
  start: () => ({
    kind: 'host.start-vm',
    summary: 'Start the VM with the hardware it had, wait for the guest',
    deadlineMs: BOOT_MS,
    compensation: undone('host.stop-vm', { modes: ['power-off'], timeoutMs: 10_000 }),
  }),
  stop: ({ force, timeoutMs = ACTION_TIMEOUT_MS }) => ({
    kind: 'host.stop-vm',
    summary: force ? 'Have the guest shut down, or else take its power' : 'Have the guest shut down',
    input: { modes: ['guest-agent', 'acpi', ...(force ? ['power-off'] : [])], timeoutMs },
    deadlineMs: 2 * timeoutMs + MARGIN_MS,
  }),
  reboot: ({ force, timeoutMs = ACTION_TIMEOUT_MS }) => ({
    kind: 'host.reboot-vm',
    summary: force ? 'Have the guest restart, or else reset it' : 'Have the guest restart',
    input: { modes: ['guest-agent', ...(force ? ['reset'] : [])], timeoutMs },
    deadlineMs: timeoutMs + BOOT_MS,
  }),
  reset: () => ({ kind: 'host.reset-vm', summary: 'Reset the VM', deadlineMs: BOOT_MS }),
  pause: () => ({
    kind: 'host.pause-vm',
    summary: 'Stop the CPUs of the VM',
    deadlineMs: MARGIN_MS,
    compensation: undone('host.resume-vm'),
  }),
  resume: () => ({
    kind: 'host.resume-vm',
    summary: 'Let the CPUs of the VM run on',
    deadlineMs: MARGIN_MS,
    compensation: undone('host.pause-vm'),
  }),
};

const nameOf = (action: VmAction): string => `${action}-vm`;
/** Whether a workflow of this name is an action on a VM, and which. */
export const actionOfWorkflow = (name: string): VmAction | undefined => vmActions.find((a) => nameOf(a) === name);

/** What the next start of a VM may be told. */
export type NextStart = 'bootOrder' | 'vcpus';
const nextParams = { bootOrder: { type: 'array', required: true }, vcpus: { type: 'number', required: true } } as const;

/** One action on its host, and the record of it. Params: `vmId`, `hostId`, `epoch`; of a start what `next` names: `bootOrder`, `vcpus`. */
export const actOnVm = (action: VmAction, options: VmActionOptions, next: readonly NextStart[] = []): WorkflowDefinition => {
  const { input, ...act } = acts[action](options);
  const how = action === 'stop' || action === 'reboot';
  return {
    name: nameOf(action),
    version: 1,
    summary: act.summary,
    params: {
      vmId: { type: 'string', required: true },
      hostId: { type: 'string', required: true },
      epoch: { type: 'number', required: true },
      ...Object.fromEntries(next.map((name) => [name, nextParams[name]])),
    },
    tasks: [
      {
        name: 'act',
        ...act,
        input: { ...vm, ...input, ...Object.fromEntries(next.map((name) => [name, `\${params.${name}}`])) },
        route: onHost,
        retry: passing,
      },
      {
        name: 'record',
        kind: 'vm.record-action',
        summary: 'Record that it is done',
        input: {
          vmId: '${params.vmId}',
          at: '${tasks.act.output.at}',
          ...(how ? { how: '${tasks.act.output.how}' } : {}),
          ...(action === 'start' ? { topology: '${tasks.act.output.topology}', topologyHash: '${tasks.act.output.topologyHash}' } : {}),
        },
        after: ['act'],
        route: { mode: 'group', group: 'provisioning' },
        deadlineMs: 30_000,
        retry: stubborn,
      },
    ],
    deadlineMs: act.deadlineMs * 4 + 600_000,
    output: { vmId: '${params.vmId}' },
  };
};
