import { isContention, isDatabaseAway } from '@chrysalis/event-store';

/**
 * Tries of one event in a row while others do the same at the same time: with pauses by chance and in turn, some seconds. 500 tasks under one
 * grant need 3 at most.
 */
export const patient = { attempts: 20 } as const;

/** Says nothing against the event: it is neither counted nor parked. */
export const isNoFault = (error: unknown): boolean => isContention(error) || isDatabaseAway(error);
