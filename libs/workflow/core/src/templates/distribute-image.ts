import type { WorkflowDefinition } from '@chrysalis/contracts';

const undo = {
  kind: 'host.remove-image',
  input: { image: '${params.image}' },
  deadlineMs: 30_000,
  route: { mode: 'direct' as const, group: 'agent-gateway' as const, executor: '${executor}' },
};

/**
 * An image is built by the host that can do it cheapest, of those that see the pool it is built from, and fetched from there by the hosts
 * named, a few at a time. Where one of them fails for good, no host keeps it.
 */
export const distributeImage: WorkflowDefinition = {
  name: 'distribute-image',
  version: 1,
  summary: 'Build a disk image where that is cheapest, and bring it to these hosts',
  params: {
    image: { type: 'string', required: true },
    format: { type: 'string', required: true },
    sizeMiB: { type: 'number', required: true },
    pool: { type: 'string', required: true },
    from: { type: 'object', required: true },
    hosts: { type: 'array', required: true },
  },
  tasks: [
    {
      name: 'build',
      kind: 'host.build-image',
      summary: 'Build the image',
      section: 'prepare',
      input: { image: '${params.image}', format: '${params.format}', sizeMiB: '${params.sizeMiB}', from: '${params.from}' },
      retry: { attempts: 3, backoffMs: 500 },
      deadlineMs: 600_000,
      heartbeatMs: 5_000,
      route: {
        mode: 'bid',
        group: 'agent-gateway',
        labels: { pool: '${params.pool}' },
        windowMs: 500,
        award: 'lowest-cost',
        beginWithinMs: 3_000,
        offers: 10,
      },
      compensation: undo,
    },
    {
      name: 'bring',
      kind: 'host.transfer-image',
      summary: 'Fetch it from there',
      section: 'migration',
      forEach: { items: '${params.hosts}', concurrency: 4 },
      input: { image: '${params.image}', digest: '${tasks.build.output.digest}', fromHost: '${tasks.build.output.hostId}' },
      retry: { attempts: 3, backoffMs: 500 },
      deadlineMs: 600_000,
      heartbeatMs: 5_000,
      route: { mode: 'direct', group: 'agent-gateway', executor: 'host:${item}' },
      compensation: undo,
    },
  ],
  deadlineMs: 1_800_000,
  output: { digest: '${tasks.build.output.digest}', builtBy: '${tasks.build.output.hostId}', hosts: '${params.hosts}' },
};
