import { agentGatewayEvents as g, desiredBy, pendingOf, provisioningEvents as e } from '@chrysalis/contracts';
import { merge, on, type Handler } from '../projection.ts';

/** What its host saw it do. A row of its own, as it is another stream: readers join it to the VM, see admin-api's `observed.ts`. */
export const observations: readonly Handler[] = [
  on(g.vmObserved, ({ vmId, hostId, epoch, observed }) => [
    merge('vm_observations', vmId, () => ({ hostId, epoch, cause: undefined, ...observed })),
  ]),
];

const pick = (members: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(members).filter(([, v]) => v !== undefined));

type Doc = Readonly<Record<string, unknown>>;
/** Its policy as it was, and how far that has come. One without a policy stays without. */
const restarting = ({ restart }: Doc, progress: Doc): Doc =>
  restart ? { restart: { policy: (restart as { policy: string }).policy, ...progress } } : {};
const noneDue = ({ restart }: Doc): Doc => (restart ? { restart: { ...restart, dueAt: undefined } } : {});

/** With what is pending then; few ever have anything, and one that has nothing is without the member. */
const withPending = (before: Doc, change: Doc): Doc => {
  const after = { ...before, ...change };
  if (after['spec'] === undefined) return change; // a row of before its request was seen
  const pending = pendingOf(after as Parameters<typeof pendingOf>[0], after['state'] === 'stopped');
  return { ...change, pending: pending.length > 0 ? pending : undefined };
};

/** `state`: requested, placed, running, stopped, paused, moving, deleting, deleted or failed. */
export const vms: readonly Handler[] = [
  on(e.vmRequested, (d) => [
    merge('vms', d.vmId, {
      vmId: d.vmId,
      name: d.name,
      tenant: d.tenant,
      uuid: d.uuid,
      state: 'requested',
      type: d.type,
      image: { name: d.image.name, version: d.image.version },
      spec: d.spec,
      operation: d.request.workflowId,
      ...pick({ labels: d.labels }),
      ...(d.restart ? { restart: { policy: d.restart } } : {}),
    }),
  ]),
  on(e.vmPlaced, (d) => [merge('vms', d.vmId, { state: 'placed', hostId: d.hostId, epoch: d.epoch })]),
  on(e.vmBooted, (d) => [
    merge('vms', d.vmId, {
      state: 'running',
      desired: 'running',
      hostId: d.hostId,
      epoch: d.epoch,
      topology: d.topology,
      topologyHash: d.topologyHash,
      bootedAt: d.at,
    }),
  ]),
  on(e.vmProvisioningFailed, (d) => [merge('vms', d.vmId, { state: 'failed', cause: d.cause, hostId: undefined, action: undefined })]),
  on(e.vmTopologyChanged, (d) => [
    merge('vms', d.vmId, (before) => withPending(before, { topology: d.topology, topologyHash: d.topologyHash })),
  ]),
  on(e.vmMoveBegun, (d) => [
    merge('vms', d.vmId, (before) => ({
      state: 'moving',
      ...noneDue(before),
      move: { moveId: d.moveId, fromHost: d.fromHost, toHost: d.toHost, fromType: d.fromType, toType: d.toType },
    })),
  ]),
  on(e.vmSwitchedOver, (d) => [
    merge('vms', d.vmId, (before) =>
      withPending(before, { hostId: d.toHost, epoch: d.epoch, topology: d.topology, topologyHash: d.topologyHash }),
    ),
  ]),
  on(e.vmTypeChanged, (d) => [merge('vms', d.vmId, (before) => withPending(before, { type: d.to, spec: d.spec, shows: d.shows }))]),
  on(e.vmMoveEnded, (d) => [
    merge('vms', d.vmId, {
      state: 'running',
      move: undefined,
      lastMove: { moveId: d.moveId, outcome: d.outcome },
    }),
  ]),
  on(e.vmActionRequested, (d) => [
    merge('vms', d.vmId, (before) => ({
      ...restarting(before, d.restart ? { attempts: d.restart.attempt } : {}),
      desired: desiredBy[d.action],
      action: { action: d.action, operation: d.request.workflowId },
      operation: d.request.workflowId,
      cause: undefined,
    })),
  ]),
  on(e.vmActionEnded, (d) => [
    merge('vms', d.vmId, (before) =>
      withPending(before, {
        action: undefined,
        lastAction: pick({ action: d.action, outcome: d.outcome, how: d.how, at: d.at, operation: d.workflowId, cause: d.cause }),
        ...(d.outcome === 'failed'
          ? { desired: before['state'], cause: d.cause }
          : { state: desiredBy[d.action], ...pick({ topology: d.topology, topologyHash: d.topologyHash }) }),
        ...(d.outcome === 'succeeded' && d.action === 'start' ? { ...pick({ bootedAt: d.at }), shows: undefined } : {}),
      }),
    ),
  ]),
  on(e.vmChangeBegun, (d) => [merge('vms', d.vmId, { action: { action: d.change, operation: d.workflowId }, cause: undefined })]),
  on(e.vmChangeEnded, (d) => [
    merge('vms', d.vmId, (before) =>
      withPending(before, { action: undefined, ...pick({ cause: d.cause, topology: d.topology, topologyHash: d.topologyHash }) }),
    ),
  ]),
  on(e.vmDeletionRequested, (d) => [
    merge('vms', d.vmId, (before) => ({
      ...noneDue(before),
      state: 'deleting',
      stateBefore: before['state'],
      operation: d.request.workflowId,
    })),
  ]),
  on(e.vmDeletionFailed, (d) => [
    merge('vms', d.vmId, (before) => ({ state: before['stateBefore'] ?? 'running', stateBefore: undefined, cause: d.cause })),
  ]),
  on(e.vmReconfigured, (d) => [
    merge('vms', d.vmId, (before) => withPending(before, pick({ name: d.name, labels: d.labels, bootOrder: d.bootOrder }))),
  ]),
  on(e.vmRestartPolicySet, (d) => [merge('vms', d.vmId, { restart: { policy: d.policy } })]),
  on(e.vmRestartPlanned, (d) => [merge('vms', d.vmId, (before) => restarting(before, { attempts: d.attempt, dueAt: d.dueAt }))]),
  on(e.vmRestartCalledOff, (d) => [
    merge('vms', d.vmId, (before) => restarting(before, { attempts: d.attempts, ...(d.reason === 'limit' ? { gaveUp: true } : {}) })),
  ]),
  on(e.vmDeleted, (d) => [merge('vms', d.vmId, { state: 'deleted', stateBefore: undefined, hostId: undefined, cause: undefined })]),
];
