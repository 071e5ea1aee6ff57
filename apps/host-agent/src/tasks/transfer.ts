import { hostTasks, SEED_DISK, type InputOf } from '@chrysalis/contracts';
import { ownFiles, type MigrationProgress } from '@chrysalis/hypervisor';
import type { Handler } from '../execution/handler.ts';
import { isCold } from '../move/cold.ts';
import { iso } from '../move/deps.ts';
import { TaskFailure } from '../execution/task-failure.ts';
import { removeFromHost } from '../move/remove-from-host.ts';
import { forgetVm } from './boot-vm.ts';
import { goOff } from './power.ts';
import { asRunner, handler, notBelow, stale, type Admit, type HandlerContext } from './handler-context.ts';

/** Also for a VM that this very move gave away: a repeated transfer gets its answer. */
const admitTransfer: Admit = (state, input) => {
  if (state?.role === 'fenced' && input.epoch >= state.floor && input.epoch <= state.epoch) return;
  asRunner(state, input);
};

export const transfer = (context: HandlerContext): Handler =>
  handler(hostTasks.transfer, admitTransfer, async (input, run) => {
    const { vmId, moveId, method, newEpoch, migrationAddress, peerAddress, peerToken, downtimeLimitMs, maxBandwidthMiBps, copies } = input;
    const { stoppedWithinMs, awaitsApproval, saveTo, postCopy, streams, throttle } = input;
    if (!carriedOut.has(method)) throw new TaskFailure('host.method_unsupported', `this host agent has no ${method}`);
    const result = await context.source.transfer(
      vmId,
      {
        side: 'source',
        phase: 'transferring',
        moveId,
        taskKey: run.key,
        newEpoch,
        targetHost: peerToken.split('.', 1)[0]!,
        migrationAddress,
        peerAddress,
        peerToken,
        method,
        downtimeLimitMs,
        maxBandwidthMiBps,
        ...(streams ? { streams } : {}),
        ...(throttle ? { throttle } : {}),
        ...(copies ? { copies } : {}),
        ...(saveTo ? { saveTo } : {}),
        ...(postCopy ? { postCopy } : {}),
        ...(stoppedWithinMs === undefined ? {} : { stoppedWithinMs }),
        ...(awaitsApproval ? { held: true } : {}),
        startedAt: iso(context.now()),
        deadlineAt: iso(run.deadlineAt),
        ...offByOf(input, context.now()),
      },
      {
        signal: run.signal,
        ...(input.shutDown ? { shutDown: (signal: AbortSignal) => goOff(context, { vmId, ...input.shutDown! }, signal) } : {}),
        onProgress: (p) => context.tell({ type: 'progress', vmId, moveId, ...progressOf(p) }),
      },
    );
    if (!result.ok) throw TaskFailure.told(result.cause, { epoch: context.states.get(vmId)?.epoch });
    context.guests.forget(vmId);
    const { ok: _, ...figures } = result;
    return figures;
  });

/** In a lane of its own: the transfer that it is for has the VM to itself. */
export const settleApproval = (context: HandlerContext): Handler => ({
  ...handler(
    hostTasks.settleApproval,
    () => undefined,
    async ({ vmId, moveId, approved, cause }) => {
      await context.source.verdicts.settle(vmId, {
        moveId,
        approved,
        ...(cause ? { cause: { code: cause.code, message: cause.message } } : {}),
      });
      return {};
    },
  ),
  lane: ({ vmId }: { vmId: string }) => `approval-${vmId}`,
});

const carriedOut: ReadonlySet<string> = new Set(['pre-copy', 'post-copy', 'save-and-restore', 'restart']);

/** So long a guest takes to go off that has begun to. */
const GOING_OFF_MS = 15_000;

/** Until then a guest that is asked to shut down may do so, also one that did not in the time that it was given. */
const offByOf = ({ shutDown }: InputOf<typeof hostTasks.transfer>, now: number): { offBy?: string } =>
  shutDown ? { offBy: iso(now + shutDown.timeoutMs * shutDown.modes.length + GOING_OFF_MS) } : {};

const progressOf = (p: MigrationProgress) => ({ ...p, phase: p.phase.slice(0, 64) });

const admitRelease: Admit = (state, input) => {
  if (!state || state.role === 'none') return; // released before
  if (state.role !== 'fenced')
    throw new TaskFailure('host.not_fenced', `${input.vmId} is here as ${state.role}: it is not a source that was given away`);
  if (input.epoch > state.epoch) throw stale(state, input.epoch, `was given away from epoch ${state.epoch}`);
  notBelow(state, input);
};

/** Of a post-copy. What is sent is not sent by this task, but by the move itself: it goes on, whoever asks for it or not. */
export const awaitMemory = (context: HandlerContext): Handler =>
  handler(hostTasks.awaitMemory, admitRelease, async ({ vmId, moveId, recoverWithinMs }, run) => {
    if (context.states.get(vmId)?.role === 'fenced') await context.source.awaitMemory(vmId, moveId, recoverWithinMs, run.signal);
    return { wholeAt: iso(context.now()) };
  });

/** Only a source whose guest was seen to run elsewhere is ended, or is lost for good: nothing lets that one run here again. */
export const releaseSource = (context: HandlerContext): Handler =>
  handler(hostTasks.releaseSource, admitRelease, async ({ vmId, moveId }) => {
    const state = context.states.get(vmId)!;
    if (state.role === 'none') return {};
    if (state.move?.side !== 'source' || state.move.moveId !== moveId || !givenAway.has(state.move.phase))
      throw new TaskFailure('host.not_fenced', `the target of move ${moveId} was not seen to run ${vmId}`);
    context.guests.forget(vmId);
    await context.history.sent(vmId);
    const seeds = isCold(state.move) ? await seedsOf(context, vmId) : [];
    await removeFromHost(context.driver, context.config.pools, vmId, state.topology ? ownFiles(state.topology) : []);
    for (const { pool, volume } of seeds) await context.driver.deleteVolume(pool, volume);
    await forgetVm(context, vmId);
    return {};
  });

const givenAway: ReadonlySet<string> = new Set(['resumed', 'lost']);

/** What began anew has had its first boot: the seed of it, with what may be secret in it, is of no use any more. */
const seedsOf = async ({ driver }: HandlerContext, vmId: string) =>
  driver.list().includes(vmId) ? (await driver.status(vmId)).topology.disks.filter((d) => d.id === SEED_DISK) : [];
