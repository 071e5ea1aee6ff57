import type { PeerAnswer } from '@chrysalis/contracts';
import type { SourceMove } from '../durable/vm-state.ts';
import { isCold } from './cold.ts';
import { iso, millisecondsOf, type AskPeer, type MoveDeps } from './deps.ts';

/** A target that has to start its guest answers when it has: seconds on a slow machine. */
const START_MS = 30_000;

export type Delivered = Extract<PeerAnswer, { type: 'gone' }> | { type: 'resumed'; resumedAt: string; downtimeMs: number };

/** Repeats the fence receipt until the target answers for good: it runs the guest, or it never will. There is no third way out. */
export const deliverReceipt = async (deps: MoveDeps & { askPeer: AskPeer }, vmId: string, move: SourceMove): Promise<Delivered> => {
  const { moveId, newEpoch, peerToken, peerAddress, targetHost: host } = move;
  const { epoch, fencedAt } = move.fence!;
  for (let attempt = 0; ; attempt++) {
    const sentAt = deps.now();
    try {
      const receipt = {
        type: 'receipt' as const,
        moveId,
        vmId,
        epoch,
        newEpoch,
        peerToken,
        fencedAt,
        ...(move.restarted ? { restarted: true } : {}),
      };
      const answer = await deps.askPeer({ peerAddress, host }, receipt, isCold(move) ? START_MS : 1_000);
      if (answer.type === 'gone') return answer;
      if (answer.type === 'resumed') {
        deps.log.debug({ vmId, moveId, attempt, answerMs: deps.now() - sentAt }, 'the target runs the guest');
        return onOurClock(answer, move, sentAt, deps.now());
      }
      if (answer.type === 'refused') deps.log.warn({ vmId, moveId, cause: answer.cause }, 'the target refused the fence receipt');
    } catch (error) {
      deps.log.warn({ vmId, moveId, attempt, err: error }, 'no answer to the fence receipt');
    }
    await deps.sleep(Math.min(1_000, 5 * 2 ** Math.min(attempt, 10)));
  }
};

/**
 * Two hosts have two clocks. The answer's own time, against the middle of the round trip, gives their offset with an error of half a
 * round trip; differences below that are taken as one clock, so that hosts which share one are measured exactly.
 */
const onOurClock = (answer: Extract<PeerAnswer, { type: 'resumed' }>, move: SourceMove, sentAt: number, answeredAt: number): Delivered => {
  const offset = millisecondsOf(answer.at) - (sentAt + answeredAt) / 2;
  const uncertain = (answeredAt - sentAt) / 2 + 1;
  const resumed = millisecondsOf(answer.resumedAt) - (Math.abs(offset) <= uncertain ? 0 : offset);
  const downtimeMs = Math.max(0, resumed - millisecondsOf(move.fence!.stoppedAt));
  return { type: 'resumed', resumedAt: Math.abs(offset) <= uncertain ? answer.resumedAt : iso(resumed), downtimeMs };
};
