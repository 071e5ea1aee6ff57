import type { PeerAnswer } from '@chrysalis/contracts';
import type { SourceMove } from '../durable/vm-state.ts';
import type { Cause } from './bring-back.ts';
import type { AskPeer, MoveDeps } from './deps.ts';
import { isPostCopy } from './post-copy.ts';

type Deps = MoveDeps & { readonly askPeer: AskPeer };

const ask = ({ askPeer }: Deps, vmId: string, move: SourceMove, more: { gone?: true } = {}): Promise<PeerAnswer> => {
  const { moveId, newEpoch, peerToken, peerAddress, targetHost: host } = move;
  return askPeer({ peerAddress, host }, { type: 'probe', moveId, vmId, newEpoch, peerToken, ...more }, 3_000);
};

/** Why the target can't take the guest, or nothing. */
export const probe = async (deps: Deps, vmId: string, move: SourceMove): Promise<Cause | undefined> => {
  try {
    const answer = await ask(deps, vmId, move);
    if (answer.type === 'waiting') return undefined;
    if (answer.type === 'refused') return { code: answer.cause.code, message: answer.cause.message };
    return { code: 'host.target_lost', message: answer.type === 'gone' ? answer.reason : 'the target runs this VM already' };
  } catch (error) {
    const message = `no answer from the target's agent at ${move.peerAddress}: ${(error as Error).message}`;
    return { code: 'host.peer_unreachable', message };
  }
};

/** How long the last copy of a guest is asked for where nobody answers, past the transfer's deadline; and what a stream's end may take. */
const LAST_COPY_MS = 30_000;
const STREAM_END_MS = 5_000;

/** `undefined`: it cannot tell, or not yet. */
const saysWhole = (answer: PeerAnswer): boolean | undefined => {
  if (answer.type === 'resumed' || (answer.type === 'waiting' && answer.whole)) return true;
  const over = answer.type === 'gone' || (answer.type === 'refused' && answer.cause.code === 'host.receipt_invalid');
  return over ? false : undefined;
};

/** Has the target the whole guest? Asked for a while: this end is gone, so there is no other copy, and nothing more is sent. */
export const wholeAtTarget = async (deps: Deps, vmId: string, move: SourceMove): Promise<boolean> => {
  const { sleep, now } = deps;
  const until = Math.max(Date.parse(move.deadlineAt), now() + LAST_COPY_MS);
  let waits: number | undefined;
  for (let attempt = 0; now() < until; attempt++) {
    const answer = await ask(deps, vmId, move, isPostCopy(move) ? { gone: true } : {}).catch(() => undefined);
    const whole = answer && saysWhole(answer);
    if (whole !== undefined) return whole;
    if (answer?.type === 'waiting') waits ??= now() + STREAM_END_MS;
    if (answer?.type === 'waiting' && now() >= waits!) return false;
    await sleep(Math.min(1_000, 10 * 2 ** Math.min(attempt, 10)));
  }
  return false;
};
