import {
  type Amounts,
  type Coded,
  type Consumer,
  consumerText,
  type HostFacts,
  type HostState,
  type ResourceAllocationEvent,
} from '@chrysalis/contracts';
import { unreachable } from '@chrysalis/kernel';
import { nothing, plus, type HostView, type LedgerCode, type Misfit, type Shortage } from '@chrysalis/placement';

/** What a consumer holds on this host. `amounts` is what it holds here, which for a move in place is only the difference. */
export type Hold = Readonly<{ consumer: Consumer; vmId: string; amounts: Amounts }>;

/** The state of one host's stream. Its version is the host's allocation generation. */
export type Host =
  Readonly<{ status: 'unknown' }> | Readonly<{ status: 'known'; facts: HostFacts; state: HostState; holds: ReadonlyMap<string, Hold> }>;
export type KnownHost = Extract<Host, { status: 'known' }>;
export const initialHost: Host = { status: 'unknown' };

/** A host's own events: those on other streams are left out. */
export type HostEvent = Exclude<
  ResourceAllocationEvent,
  {
    type:
      | 'chrysalis.resource-allocation.task.reported.v1'
      | 'chrysalis.resource-allocation.executor.announced.v1'
      | `chrysalis.resource-allocation.pool.${string}`;
  }
>;

export type HostRejection = Coded<
  | { readonly code: 'host.unknown'; readonly hostId: string }
  /** The engine's own refusal, in its words and with what it compared. */
  | {
      readonly code: LedgerCode;
      readonly hostId: string;
      readonly message: string;
      readonly shortages?: readonly Shortage[];
      readonly misfits?: readonly Misfit[];
    }
  /** The consumer holds something else here than what this command says. */
  | {
      readonly code: 'allocation.conflict';
      readonly hostId: string;
      readonly consumer: string;
      readonly held: Amounts;
      readonly asked: Amounts;
    }
  | { readonly code: 'allocation.unknown'; readonly hostId: string; readonly consumer: string }
>;

export const heldBy = (host: KnownHost, consumer: Consumer): Hold | undefined => host.holds.get(consumerText(consumer));
export const heldInAll = (host: KnownHost): Amounts => {
  let sum = nothing;
  for (const hold of host.holds.values()) sum = plus(sum, hold.amounts);
  return sum;
};

/** The host as the engine sees it. Whether its agent is connected is on another stream. */
export const hostView = (host: KnownHost): Omit<HostView, 'away'> => {
  const vms = new Map<string, Amounts>();
  for (const { consumer, vmId, amounts } of host.holds.values()) if (consumer.kind === 'vm') vms.set(vmId, amounts);
  return { facts: host.facts, state: host.state, held: heldInAll(host), vms };
};
export const vmConsumer = (id: string): Consumer => ({ kind: 'vm', id });
export const moveConsumer = (id: string): Consumer => ({ kind: 'move', id });

export const evolveHost = (host: Host, e: HostEvent): Host => {
  if (e.type === 'chrysalis.resource-allocation.host.registered.v1')
    return { status: 'known', facts: e.data.facts, state: 'enabled', holds: new Map() };
  if (host.status === 'unknown') return host;
  switch (e.type) {
    case 'chrysalis.resource-allocation.host.facts-changed.v1':
      return { ...host, facts: e.data.facts };
    case 'chrysalis.resource-allocation.host.state-changed.v1':
      return { ...host, state: e.data.to };
    case 'chrysalis.resource-allocation.allocation.held.v1': {
      const { consumer, vmId, amounts } = e.data;
      return { ...host, holds: new Map(host.holds).set(consumerText(consumer), { consumer, vmId, amounts }) };
    }
    case 'chrysalis.resource-allocation.allocation.released.v1': {
      const holds = new Map(host.holds);
      holds.delete(consumerText(e.data.consumer));
      return { ...host, holds };
    }
    case 'chrysalis.resource-allocation.allocation.swapped.v1': {
      const { moveId, vmId, amounts } = e.data;
      const consumer = vmConsumer(vmId);
      const holds = new Map(host.holds);
      holds.delete(consumerText(moveConsumer(moveId)));
      return { ...host, holds: holds.set(consumerText(consumer), { consumer, vmId, amounts }) };
    }
    default:
      return unreachable(e);
  }
};
