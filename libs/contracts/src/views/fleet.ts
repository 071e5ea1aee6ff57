import { z } from 'zod';
import { ActionHow, Desired, RestartPolicy, VmAction, VmDoing } from '../provisioning.ts';
import { GrantClaims } from '../agent-gateway.ts';
import { Pending, Shows } from '../pending.ts';
import { HostAgentIdentity } from '../agent-protocol.ts';
import { Observed } from '../observed.ts';
import { Consumer, hostStates } from '../resource-allocation.ts';
import {
  Amounts,
  BootOrder,
  Cause,
  Characterisation,
  Count,
  HostFacts,
  Image as ImageShape,
  VmLabels,
  Ref,
  Topology,
  VmTypeSpec,
} from '../shapes.ts';
import { Standing } from './operations.ts';
import { Row } from './rows.ts';

/** The move that has a VM, where it stands: it may have ended, and wait for somebody. */
const MoveOfVm = z.object({
  moveId: z.string(),
  fromHost: z.string(),
  toHost: z.string(),
  fromType: Ref,
  toType: Ref,
  migrationId: z.string().optional(),
  state: z.string().optional(),
  cause: Cause.optional(),
  standing: Standing.optional(),
});

export const vmStates = ['requested', 'placed', 'running', 'stopped', 'paused', 'moving', 'deleting', 'deleted', 'failed'] as const;
export const Vm = Row.extend({
  vmId: z.string(),
  name: z.string(),
  tenant: z.string(),
  uuid: z.string(),
  labels: VmLabels.optional(),
  state: z.enum(vmStates),
  stateBefore: z.enum(vmStates).optional().describe('before it was being deleted'),
  type: Ref,
  image: Ref,
  spec: VmTypeSpec,
  operation: z.string(),
  hostId: z.string().optional(),
  epoch: Count.optional(),
  topology: Topology.optional().describe('left out of lists'),
  topologyHash: z.string().optional(),
  bootedAt: z.string().optional(),
  cause: Cause.optional(),
  move: MoveOfVm.optional(),
  desired: Desired.optional().describe('what it is meant to do, beside what its host sees; absent: running'),
  action: z.object({ action: VmDoing, operation: z.string() }).optional().describe('under way'),
  lastAction: z
    .object({
      action: VmAction,
      outcome: z.enum(['succeeded', 'failed']),
      how: ActionHow.optional(),
      at: z.string().optional(),
      operation: z.string().optional(),
      cause: Cause.optional().describe('why it failed'),
    })
    .optional(),
  restart: z
    .object({ policy: RestartPolicy, attempts: Count.optional(), dueAt: z.string().optional(), gaveUp: z.boolean().optional() })
    .optional()
    .describe('what is done where it goes off though it is meant to run; absent: never. `dueAt`: when it is started again'),
  bootOrder: BootOrder.optional().describe('what its next start boots from; absent, or empty: as its image has it'),
  shows: Shows.optional().describe('what its guest is shown, where that is less than its type and its hardware both have'),
  pending: z.array(Pending).optional().describe('what its next start has, and it does not run on yet'),
  lastMove: z.object({ moveId: z.string(), outcome: z.string() }).optional(),
  observed: Observed.extend({ hostId: z.string(), epoch: Count }).optional().describe('what its host sees it do'),
  characterisation: Characterisation.optional().describe('what is known of its guest, where someone looked'),
}).meta({ id: 'Vm' });
export type Vm = z.infer<typeof Vm>;

export const Allocation = Row.extend({
  hostId: z.string(),
  consumer: Consumer,
  vmId: z.string(),
  ...Amounts.shape,
  state: z.enum(['held', 'released']),
  since: z.string(),
  reason: z.string().optional(),
}).meta({ id: 'Allocation' });

const Agent = z.object({
  agentVersion: z.string().optional(),
  sessionId: z.string().optional(),
  key: HostAgentIdentity.shape.key.optional(),
  since: z.string().optional(),
  reason: z.string().optional(),
  refused: z
    .object({ code: z.string(), message: z.string(), address: z.string(), key: HostAgentIdentity.shape.key.optional(), at: z.string() })
    .optional()
    .describe('a second agent that asked for this host'),
  clock: z.object({ skewMs: z.int(), at: z.string() }).optional(),
});
export const Host = Row.extend({
  hostId: z.string(),
  state: z.enum([...hostStates, 'unregistered']),
  reason: z.string().optional(),
  connected: z.boolean(),
  generation: Count.describe('of its allocations; what `If-Match` guards'),
  facts: HostFacts.optional().describe('absent while it is unregistered'),
  agent: Agent,
  allocations: z.array(Allocation).optional().describe('who holds what on it; left out of lists'),
}).meta({ id: 'Host' });
export type Host = z.infer<typeof Host>;

/** A host after a command, as its owner has it. */
export const HostDecided = HostFacts.omit({ hostId: true })
  .extend({
    id: z.string(),
    state: z.enum(hostStates),
    connected: z.boolean(),
    version: Count,
    capacity: Amounts,
    held: Amounts,
    free: z.object({ vcpu: z.int(), memoryMiB: z.int(), diskMiB: z.int() }).describe('below 0 where more is held than there is'),
  })
  .meta({ id: 'HostDecided' });

const Named = z.object({
  name: z.string(),
  version: Count,
  latest: Count,
  versions: z.array(Count),
  createdAt: z.string(),
  updatedAt: z.string(),
});
export const Deprecated = z.object({ reason: z.string(), replacement: Ref.optional() });
export const VmType = Named.extend({ spec: VmTypeSpec, publishedAt: z.string(), deprecated: Deprecated.optional() }).meta({ id: 'VmType' });
export type VmType = z.infer<typeof VmType>;
export const Image = Named.extend({
  digest: z.string(),
  cmdline: ImageShape.shape.cmdline,
  display: ImageShape.shape.display,
  /** Of kind `disk`; one without is of kind `kernel`. */
  disk: ImageShape.shape.disk,
  registeredAt: z.string(),
}).meta({ id: 'Image' });
export type Image = z.infer<typeof Image>;
export { Named };

export const Grant = Row.extend({
  grantId: z.string(),
  tenant: z.string(),
  state: z.enum(['active', 'revoked']),
  claims: GrantClaims,
  used: Count,
  uses: Count,
  lastUse: z.object({ vmId: z.string(), at: z.string() }).optional(),
  reason: z.string().optional(),
}).meta({ id: 'Grant' });

const Reason = z.object({
  policy: z.string(),
  code: z.string(),
  message: z.string(),
  remedy: z.string(),
  evidence: z.record(z.string(), z.unknown()),
});
export const Placement = z
  .object({
    candidates: z.array(z.object({ hostId: z.string(), share: z.number(), free: Amounts })).describe('the one that would be taken first'),
    refused: z.array(z.object({ hostId: z.string(), reasons: z.array(Reason) })),
  })
  .meta({ id: 'Placement' });
export type Placement = z.infer<typeof Placement>;
