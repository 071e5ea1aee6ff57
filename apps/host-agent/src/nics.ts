import { setTimeout as sleep } from 'node:timers/promises';
import { freePort, hostTasks } from '@chrysalis/contracts';
import type { Handler, TaskRun } from './execution/handler.ts';
import { TaskFailure } from './execution/task-failure.ts';
import { letGo } from './let-go.ts';
import { peersKnown } from './segments.ts';
import { asRunner, handler, notInMove, timeLeft, type Admit, type HandlerContext } from './tasks/handler-context.ts';
import { isOff } from './volumes/in-guest.ts';

const LOOK_EVERY_MS = 100;

/** The VM is this host's, running or off, and stays so. */
const onVm: Admit = (state, input) => {
  asRunner(state, input);
  notInMove(state!);
};

/** What is so already is done: each of these may come twice, late, and after a crash in its middle. */
export const nicHandlers = (context: HandlerContext): Handler[] => [
  handler(hostTasks.attachNic, onVm, async ({ vmId, nic }, run) => {
    const { topology } = await context.driver.status(vmId);
    const port = topology.nics.find((n) => n.id === nic.id)?.port ?? freePort(topology);
    if (port === undefined) throw new TaskFailure('hypervisor.no_free_port', `${vmId} has no free root port`);
    const shaped = await context.driver.plug(vmId, { kind: 'nic', ...nic, port });
    await peersKnown(context.driver, shaped.topology);
    const seen = await delivered(context, vmId, nic.mac, run);
    return { ...shaped, ...(seen ? { seen } : {}) };
  }),
  handler(hostTasks.detachNic, onVm, async ({ vmId, nic }, run) => {
    const { topology, topologyHash } = await context.driver.status(vmId);
    if (!topology.nics.some((n) => n.id === nic)) return { topology, topologyHash };
    return letGo(context, vmId, { kind: 'nic', id: nic }, run);
  }),
];

/**
 * Waits until the guest shows the NIC. Undefined where nobody can be asked: it is off, or no agent answers in it. One that answers and does not
 * show it by the deadline has not got it.
 */
const delivered = async ({ driver, guests, now }: HandlerContext, vmId: string, mac: string, run: TaskRun): Promise<true | undefined> => {
  const until = now() + timeLeft(run, now());
  for (;;) {
    if (isOff((await driver.status(vmId)).state)) return undefined;
    const seen = await guests.macs(vmId);
    if (!seen) return undefined;
    if (seen.includes(mac)) return true;
    if (now() >= until) throw new TaskFailure('host.nic_not_delivered', `the guest of ${vmId} does not show a NIC ${mac}`, false, { seen });
    await sleep(LOOK_EVERY_MS, undefined, { signal: run.signal });
  }
};
