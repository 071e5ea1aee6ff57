import { z } from 'zod';
import { task } from '../define.ts';
import { Shows } from '../pending.ts';
import { ActionHow } from '../provisioning.ts';
import { Count, Id, Name, PoolId, Positive, Ref, RefText, Sha256, Timestamp, Topology, VmTypeSpec } from '../shapes.ts';
import { Finding, OtherTraces, Trace, VmTraces } from '../traces.ts';
import { none, onVm } from './common.ts';

export const provisioningTasks = {
  recordPlacement: task(
    'provisioning',
    'vm.record-placement',
    'Record the host of a new VM',
    z.object({ vmId: Id, hostId: Name }),
    z.object({ epoch: Positive }),
  ),
  recordBoot: task(
    'provisioning',
    'vm.record-boot',
    'Record that the VM runs',
    z.object({ ...onVm, hostId: Name, topology: Topology, topologyHash: Sha256, at: Timestamp }),
    none,
  ),
  beginMove: task(
    'provisioning',
    'vm.begin-move',
    'Lock the VM for one move; refused when it is in a move, or is not at the expected version',
    z.object({ vmId: Id, moveId: Id, fromHost: Name, toHost: Name, fromType: Ref, toType: Ref, expectedVersion: Count.optional() }),
    z.object({ epoch: Positive, newEpoch: Positive, topology: Topology, topologyHash: Sha256 }),
  ),
  endMove: task(
    'provisioning',
    'vm.end-move',
    'Let go of the VM; with success, and in the same commit, it may have become another type',
    z.object({
      vmId: Id,
      moveId: Id,
      outcome: z.enum(['succeeded', 'undone', 'failed']),
      becomes: z.object({ from: Ref, to: Ref, spec: VmTypeSpec, shows: Shows.optional() }).optional(),
    }),
    none,
  ),
  recordTopology: task(
    'provisioning',
    'vm.record-topology',
    'Record the topology after a plug or unplug',
    z.object({ vmId: Id, topology: Topology, topologyHash: Sha256, reason: z.string() }),
    none,
  ),
  switchOver: task(
    'provisioning',
    'vm.switch-over',
    'Record the new host and the raised epoch',
    z.object({ vmId: Id, moveId: Id, fromHost: Name, toHost: Name, epoch: Positive, topology: Topology, topologyHash: Sha256 }),
    none,
  ),
  changeType: task(
    'provisioning',
    'vm.change-type',
    'Record the new type',
    z.object({
      vmId: Id,
      moveId: Id,
      from: Ref,
      to: Ref,
      spec: VmTypeSpec,
      topology: Topology.optional(),
      topologyHash: Sha256.optional(),
    }),
    none,
  ),
  listOfType: task(
    'provisioning',
    'vm.list-of-type',
    "The tenant's VMs that are pinned to a version of a type, by id; with `expectNone` it fails while there is one",
    z.object({ type: RefText, limit: Positive.max(1000).optional(), expectNone: z.boolean().optional() }),
    z.object({ vmIds: z.array(Id), more: z.boolean() }),
  ),
  recordAction: task(
    'provisioning',
    'vm.record-action',
    'Record that what the workflow was to do with the VM is done',
    z.object({ vmId: Id, at: Timestamp, how: ActionHow.optional(), topology: Topology.optional(), topologyHash: Sha256.optional() }),
    none,
  ),
  recordFilter: task(
    'provisioning',
    'vm.record-filter',
    'Record what may come in to the VM from its networks now, as its hardware has it',
    z.object({ vmId: Id, topology: Topology, topologyHash: Sha256 }),
    none,
  ),
  recordNic: task(
    'provisioning',
    'vm.record-nic',
    'Record that a NIC of the VM has come or gone; the address of one that went is anybody’s',
    z.object({ vmId: Id, topology: Topology, topologyHash: Sha256 }),
    none,
  ),
  recordDeleted: task('provisioning', 'vm.record-deleted', 'Record that the VM is gone', z.object({ vmId: Id }), none),
  judgeTraces: task(
    'provisioning',
    'vm.judge-traces',
    'Which of the traces that a host shows are to be there, by the streams of VMs, volumes and networks. Reports only',
    z.object({
      hostId: Name,
      traces: z.array(Trace),
      vms: z.array(Id),
      pools: z.array(z.object({ name: Name, poolId: PoolId.optional(), shared: z.boolean() })),
      more: z.boolean(),
      minAgeMs: Count.optional(),
    }),
    z.object({ checked: Count, expected: Count, findings: z.array(Finding), vms: z.array(VmTraces), others: z.array(OtherTraces) }),
  ),
  failProvisioning: task(
    'provisioning',
    'vm.fail-provisioning',
    'Compensation of a placement: the VM failed to come up',
    z.object({ vmId: Id }),
    none,
  ),
} as const;
