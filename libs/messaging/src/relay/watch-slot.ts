import { messageOf, Pause } from '../pause.ts';
import type { Follower } from './follower.ts';
import { lsnNumber, lsnText } from './lsn.ts';
import { busIsNew, checkpointName } from './publisher.ts';
import type { RelayState } from './types.ts';
import type { Serial } from '../serial.ts';

const everyMs = 2_000;
/**
 * A slot that is not streamed from is told where its schema is when it holds back so much of the log: the server reads all of that again
 * from a place that it moves every 15 s. Sooner is not needed: what a crash makes it send again is known by the checkpoint.
 */
const advanceBytes = 128 * 1024 * 1024;
type Sample = { readonly xmin: string; readonly lsn: string; readonly flushed: string; readonly lag: string };

/** Beside the stream, every two seconds: how far behind it is, whether the bus is the one we know, and a place for the poll. */
export const watchSlot = async (state: RelayState, query: Serial, slot: string, follower: Follower): Promise<void> => {
  const pause = new Pause();
  let candidate: Sample | undefined;
  while (!follower.stopped) {
    try {
      const now = await sample(query, slot);
      state.lagBytes = Math.min(Number(now.lag), follower.shares ? Number(lsnNumber(now.flushed) - follower.done) : Infinity);
      if (follower.shares && Number(now.lag) > advanceBytes) await advance(query, slot, follower);
      candidate = await movePlace(state, follower, candidate, now);
      if (await busIsNew(state)) follower.wake();
      state.faults.delete('watch');
    } catch (error) {
      if (error instanceof SlotGone) return follower.fail(error);
      state.faults.set('watch', messageOf(error));
    }
    for (let waited = 0; waited < everyMs && !follower.stopped; waited += 100) await pause.wait(100);
  }
};

/**
 * A slot that is not streamed from hears by this how far its schema came. The server reads over the log for that, and decodes nothing.
 * Refused where somebody streams from it by now: then that one tells it.
 */
export const advance = async (query: Serial, slot: string, follower: Follower): Promise<void> => {
  const done = await follower.kept();
  if (done === 0n) return;
  await query(
    `select pg_replication_slot_advance(slot_name, $2::pg_lsn) from pg_replication_slots
     where slot_name = $1 and not active and confirmed_flush_lsn < $2::pg_lsn`,
    [slot, lsnText(done)],
  ).catch((error: { code?: string }) => {
    if (error.code !== '55006') throw error;
  });
};

class SlotGone extends Error {}

const sample = async (query: Serial, slot: string): Promise<Sample> => {
  const { rows } = await query<Sample>(
    `select pg_snapshot_xmin(pg_current_snapshot())::text as xmin, pg_current_wal_insert_lsn()::text as lsn, pg_current_wal_lsn()::text as flushed,
       coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn), 0)::text as lag
     from pg_replication_slots where slot_name = $1 and wal_status is distinct from 'lost'`,
    [slot],
  );
  if (!rows[0]) throw new SlotGone(`the slot ${slot} is gone`);
  return rows[0];
};

/**
 * The checkpoint is where the poll, or a new slot, would go on. Every transaction below the snapshot's lower bound had committed before
 * PostgreSQL's log was as long as it was then: once that much of it is published, so are they.
 */
const movePlace = async (
  { options: { store } }: RelayState,
  follower: Follower,
  candidate: Sample | undefined,
  now: Sample,
): Promise<Sample> => {
  if (!candidate || follower.done < lsnNumber(candidate.lsn)) return candidate ?? now;
  const saved = await store.loadCheckpoint(checkpointName);
  if (!saved || saved.detail['replay'] === true) return now;
  // Not where the bus was found to be new meanwhile: then the replay goes by the place that was set with it.
  await store.moveCheckpoint(checkpointName, { transactionId: candidate.xmin, position: '0' }, saved.detail);
  return now;
};
