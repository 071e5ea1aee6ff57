import { setTimeout as sleep } from 'node:timers/promises';
import { hostTasks, topologyHash as hashOf, type InputOf } from '@chrysalis/contracts';
import type { Handler } from '../execution/handler.ts';
import type { VmState } from '../durable/vm-state.ts';
import { TaskFailure } from '../execution/task-failure.ts';
import { notWell } from '../move/well.ts';
import { packageThere } from '../guests/agent-hardware.ts';
import { peersKnown } from '../segments.ts';
import { answersAnew } from './power.ts';
import { asRunner, handler, notBelow, type HandlerContext } from './handler-context.ts';

type Move = NonNullable<VmState['move']>;

export const prepareTarget = (context: HandlerContext): Handler =>
  handler(hostTasks.prepareTarget, notBelow, async (input) => {
    const { topology, topologyHash } = input;
    if (hashOf(topology) !== topologyHash)
      throw new TaskFailure('host.topology_mismatch', 'the topology does not have the hash it came with');
    await packageThere(topology, context.config);
    const prepared = await context.target.prepare(input);
    await peersKnown(context.driver, topology);
    return { ...prepared, peerAddress: context.peerAddress() };
  });

export const discardTarget = (context: HandlerContext): Handler =>
  handler(hostTasks.discardTarget, notBelow, async ({ vmId, moveId }) => {
    await context.target.discard(vmId, moveId);
    return {};
  });

export const announce = (context: HandlerContext): Handler =>
  handler(hostTasks.announce, asRunner, ({ vmId, moveId }) => context.target.announce(vmId, moveId), 'hardware');

/** What the move's end is believed by: looked at here and now, not what any earlier call returned. */
export const confirmTarget = (context: HandlerContext): Handler =>
  handler(
    hostTasks.confirmTarget,
    asRunner,
    async (input, run) => {
      const shaped = await confirmed(context, input);
      if (input.booted) await answersAnew(context, input.vmId, run);
      return shaped;
    },
    'hardware',
  );

/** A panic is told once: whoever asks again was told to reset the guest, or saw it restart by itself, and its log still has the old one. */
const confirmedWell = async (context: HandlerContext, vmId: string, move: Move): Promise<void> => {
  const { restarted = false, toldTo } = move.side === 'target' ? move : {};
  const cause = await notWell({ ...context, sleep }, vmId, restarted, toldTo);
  if (!cause) return;
  const { end } = context.driver.consoleOf(vmId);
  await context.states.update(vmId, (s) => (s?.move?.side === 'target' ? { ...s, move: { ...s.move, toldTo: end } } : undefined));
  throw new TaskFailure(cause.code, `the guest runs on the target, and is not well: ${cause.message}`);
};

const confirmed = async (context: HandlerContext, { vmId, moveId, topologyHash }: InputOf<typeof hostTasks.confirmTarget>) => {
  const { move } = context.states.get(vmId)!;
  if (move?.moveId !== moveId) throw new TaskFailure('host.move_unknown', `${vmId} did not come by move ${moveId}`);
  const status = await context.driver.status(vmId);
  if (!status.running)
    throw new TaskFailure('host.target_not_running', `the target is ${status.state}`, false, { lastWords: status.lastWords });
  await confirmedWell(context, vmId, move);
  const shaped = await context.driver.topology(vmId);
  if (shaped.topologyHash !== topologyHash)
    throw new TaskFailure('host.topology_mismatch', 'the target shows another topology', false, {
      expected: topologyHash,
      seen: shaped.topologyHash,
    });
  return shaped;
};
