import type { Handler } from './execution/handler.ts';
import { asRunner, handler, notInMove, type Admit, type HandlerContext } from './tasks/handler-context.ts';
import type { HypervisorDriver } from '@chrysalis/hypervisor';
import { addressHostTasks, hostTasks, type Topology } from '@chrysalis/contracts';
import { setTimeout as sleep } from 'node:timers/promises';

const HEARD_WITHIN_MS = 3_000;
const LOOK_MS = 10;

/**
 * Waits until this host has heard who else has a part of the segments of a VM that is to come: then those have heard of this host as well,
 * and what they send to all comes here too. Where nobody says it in time the VM comes all the same: its own announcement shows its place.
 */
export const peersKnown = async (driver: HypervisorDriver, { nics }: Pick<Topology, 'nics'>, withinMs = HEARD_WITHIN_MS): Promise<void> => {
  const vnis = nics.flatMap((n) => n.segment?.vni ?? []);
  if (vnis.length === 0) return;
  const unheard = (): boolean => driver.segments().some((s) => vnis.includes(s.vni) && s.peersVersion === 0);
  const until = performance.now() + withinMs;
  while (unheard() && performance.now() < until) await sleep(LOOK_MS);
};

/** The VM is this host's, running or off, and stays so. */
const stays: Admit = (state, input) => {
  asRunner(state, input);
  notInMove(state!);
};
export const setFilter = ({ driver }: HandlerContext): Handler =>
  handler(hostTasks.setFilter, stays, ({ vmId, allow }) => driver.setFilter(vmId, allow));

/** What is so already is done: each may come twice, late, and after a crash in its middle. */
export const addressHandlers = (context: HandlerContext): Handler[] => [
  handler(addressHostTasks.bindAddress, stays, ({ vmId, network, address }) =>
    context.driver.setAddress(vmId, { network, address, has: true }),
  ),
  handler(addressHostTasks.unbindAddress, stays, ({ vmId, network, address }) =>
    context.driver.setAddress(vmId, { network, address, has: false }),
  ),
  handler(addressHostTasks.carryAddress, stays, async ({ vmId, network, address, carry }) => {
    const { state, topology } = await context.driver.status(vmId);
    const nic = topology.nics.find((n) => n.id === network);
    if (state !== 'running' || !nic) return {};
    const seen = await context.guests.carry(vmId, { mac: nic.mac, address }, carry);
    return seen === undefined ? {} : { seen };
  }),
];

/** What a guest was told to carry it has forgotten when it restarts: it is told again. Where nobody in it can be told, it is as before. */
export const carryAgain = async ({ driver, guests }: Pick<HandlerContext, 'driver' | 'guests'>, vmId: string): Promise<void> => {
  const { topology } = await driver.status(vmId);
  for (const { mac, segment } of topology.nics)
    for (const address of segment?.further ?? []) await guests.carry(vmId, { mac, address }, true);
};
