import type { CodeEntries } from './entry.ts';

/** Storage pools: refusals of the ledger, of placements and of plans. */
export const poolsCodes = {
  'pool.unknown': { status: 404, title: 'There is no such storage pool', next: 'chrysalis pool list' },
  'pool.capacity_exceeded': {
    status: 409,
    title: 'The storage pool has too little room that is not promised',
    next: ['chrysalis pool get {poolId} shows who holds what; free some, add room, or allow more', 'chrysalis pool list'],
  },
  'pool.overcommit_refused': {
    status: 409,
    title: 'Of a pool whose files are made in full no more can be promised than there is',
    next: 'chrysalis pool set {poolId} --allocation thin, or a ratio of 1000 at most',
  },
} as const satisfies CodeEntries;
