import type { PeerAnswer } from '@chrysalis/contracts';
import { hasCode, type MigrationProgress, type Rest } from '@chrysalis/hypervisor';
import type { SourceMove } from '../durable/vm-state.ts';
import type { Cause } from './bring-back.ts';
import type { AskPeer, MoveDeps } from './deps.ts';

// The source's half of a post-copy. From the switch on its guest is the target's, though its memory is not all there: there is no way back, and
// what is here is sent over every cut until the target has it, or one of the two is gone.

export const isPostCopy = ({ method }: Pick<SourceMove, 'method'>): boolean => method === 'post-copy';

type Deps = MoveDeps & { readonly askPeer: AskPeer };
type Seen = Rest['is'] | 'gone' | 'unclear';

const see = async ({ driver }: Pick<MoveDeps, 'driver'>, vmId: string): Promise<{ is: Seen; progress?: MigrationProgress }> => {
  try {
    return await driver.restOf(vmId);
  } catch (error) {
    return { is: hasCode(error, 'hypervisor.vm_unknown', 'hypervisor.qemu_exited') ? 'gone' : 'unclear' };
  }
};

/** Has it gone for good? Waits while it may still come back by itself. What an earlier life of the agent began goes on in the hypervisor. */
export const hasSwitched = async (deps: MoveDeps, vmId: string): Promise<boolean> => {
  for (let attempt = 0; ; attempt++) {
    const { is } = await see(deps, vmId);
    if (is === 'none' || is === 'gone') return false;
    if (is !== 'switching' && is !== 'unclear') return true;
    await deps.sleep(Math.min(500, 10 * 2 ** Math.min(attempt, 10)));
  }
};

const LOOK_MS = 200;
/** With nothing sent for so long the way is taken for cut, whatever it says. */
const SILENT_MS = 5_000;
const AGAIN_MS = 1_000;
/** A target whose guest waits for memory may be slow to answer. */
const REOPEN_MS = 20_000;
/** The target's last answer to this end, after which it needs nothing of it any more. */
const WHOLE_MS = 30_000;

type Sending = {
  readonly onProgress: (progress: MigrationProgress) => void;
  /** Since when nothing goes over, or nothing where it does. */
  readonly onCut: (since: number | undefined) => void;
};

/** Ends when the target has all of the memory, or its guest has ended there; or with why that can't be any more. */
export const sendRest = async (deps: Deps, vmId: string, move: SourceMove, { onProgress, onCut }: Sending): Promise<Cause | undefined> => {
  const way = new Way(deps.now);
  for (;;) {
    const { is, progress } = await see(deps, vmId);
    if (is === 'whole') return undefined;
    if (is === 'gone' || is === 'none') return (await wholeThere(deps, vmId, move)) ? undefined : lost(move);
    if (progress && is === 'sending') onProgress(progress);
    onCut(way.cutSince(is, progress));
    if (way.isCut) {
      if ((await goOn(deps, vmId, move)) === 'ended') return undefined;
      way.tried();
    }
    await deps.sleep(way.isCut ? AGAIN_MS : LOOK_MS);
  }
};

/** Cut where the hypervisor says so, and where nothing goes over. */
class Way {
  private since: number | undefined;
  private sent: { bytes: number | undefined; at: number };
  constructor(private readonly now: () => number) {
    this.sent = { bytes: undefined, at: now() };
  }
  get isCut(): boolean {
    return this.since !== undefined;
  }
  cutSince(is: Seen, progress: MigrationProgress | undefined): number | undefined {
    if (is === 'unclear') return this.since;
    const bytes = progress?.bytesTransferred;
    if (bytes !== this.sent.bytes) this.sent = { bytes, at: this.now() };
    const silent = this.now() - this.sent.at > SILENT_MS;
    this.since = is === 'cut' || silent ? (this.since ?? this.now()) : undefined;
    return this.since;
  }
  tried(): void {
    this.sent = { ...this.sent, at: this.now() };
  }
}

const ask = ({ askPeer }: Deps, type: 'reopen' | 'probe', vmId: string, move: SourceMove): Promise<PeerAnswer> => {
  const { moveId, newEpoch, peerToken, peerAddress, targetHost: host } = move;
  return askPeer({ peerAddress, host }, { type, moveId, vmId, newEpoch, peerToken }, type === 'reopen' ? REOPEN_MS : 3_000);
};

/** Once. `ended`: there is no guest any more that would need it. */
const goOn = async (deps: Deps, vmId: string, move: SourceMove): Promise<'ended' | undefined> => {
  try {
    const answer = await ask(deps, 'reopen', vmId, move);
    if (answer.type === 'reopened') await deps.driver.resend(vmId, answer.migrationAddress);
    else if (answer.type === 'gone') return 'ended';
    else deps.log.warn({ vmId, moveId: move.moveId, answer }, 'the target does not listen for the rest of a memory');
  } catch (err) {
    deps.log.warn({ vmId, moveId: move.moveId, err }, 'the rest of a memory does not go on yet');
  }
  return undefined;
};

/** This end is gone. The target knows whether it has all. */
const wholeThere = async (deps: Deps, vmId: string, move: SourceMove): Promise<boolean> => {
  for (const until = deps.now() + WHOLE_MS; deps.now() < until; await deps.sleep(AGAIN_MS)) {
    const answer = await ask(deps, 'reopen', vmId, move).catch(() => undefined);
    if (answer?.type === 'whole' || answer?.type === 'gone') return true;
    if (answer?.type === 'reopened') return false;
  }
  return false;
};

const lost = ({ targetHost }: SourceMove): Cause => ({
  code: 'host.post_copy_lost',
  message: `the source’s QEMU ended before ${targetHost} had all of its memory`,
});
