import type { WorkflowDefinition } from '@chrysalis/contracts';

const undo = {
  kind: 'host.remove-image',
  input: { image: '${params.name}' },
  deadlineMs: 30_000,
  route: { mode: 'direct' as const, group: 'agent-gateway' as const, executor: '${executor}' },
};

/**
 * After these nothing is on the host that had the award, so another one may have it. After any other failure (a fault, silence) a copy
 * may be there that nobody would count, or remove once the others are done: then the workflow ends, and every host that had it is told.
 */
const leftNothing = [
  'host.image_not_elsewhere',
  'host.image_conflict',
  'host.image_corrupt',
  'host.image_incomplete',
  'host.image_refused',
  'host.disk_short',
  'host.peer_unreachable',
  'task.award_lapsed',
  'workflow.award_lapsed',
  'workflow.no_bid',
];

/**
 * What a running VM has in memory and devices is saved on its host, and in each of these racks a host that bids, and that has no copy yet,
 * fetches it. Where one of the racks has none for good, no host keeps it. The VM runs on, whatever comes of it.
 */
export const saveVm: WorkflowDefinition = {
  name: 'save-vm',
  version: 1,
  summary: "Save a running VM's memory to a file, and keep copies of it in other racks",
  params: {
    vmId: { type: 'string', required: true },
    epoch: { type: 'number', required: true },
    hostId: { type: 'string', required: true },
    name: { type: 'string', required: true },
    pool: { type: 'string', required: true },
    racks: { type: 'array', required: true },
  },
  tasks: [
    {
      name: 'save',
      kind: 'host.save-vm',
      summary: 'Save it where it runs',
      section: 'prepare',
      input: { vmId: '${params.vmId}', epoch: '${params.epoch}', name: '${params.name}' },
      retry: { attempts: 3, backoffMs: 500 },
      deadlineMs: 600_000,
      heartbeatMs: 5_000,
      route: { mode: 'direct', group: 'agent-gateway', executor: 'host:${params.hostId}' },
      compensation: undo,
    },
    {
      name: 'copy',
      kind: 'host.transfer-image',
      summary: 'Fetch a copy from there',
      section: 'migration',
      forEach: { items: '${params.racks}', concurrency: 2 },
      input: { image: '${params.name}', digest: '${tasks.save.output.digest}', fromHost: '${params.hostId}', elsewhere: true },
      retry: { attempts: 5, backoffMs: 500, codes: leftNothing },
      deadlineMs: 600_000,
      heartbeatMs: 5_000,
      route: {
        mode: 'bid',
        group: 'agent-gateway',
        labels: { pool: '${params.pool}', rack: '${item}' },
        windowMs: 500,
        award: 'spread',
        beginWithinMs: 3_000,
        offers: 10,
      },
      compensation: undo,
    },
  ],
  deadlineMs: 1_800_000,
  output: {
    digest: '${tasks.save.output.digest}',
    bytes: '${tasks.save.output.bytes}',
    pausedMs: '${tasks.save.output.pausedMs}',
    copies: '${tasks.copy.output.items}',
  },
};
