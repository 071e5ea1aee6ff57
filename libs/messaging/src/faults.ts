import { isContention } from '@chrysalis/event-store';

/**
 * Tries of one event in a row while others do the same at the same time: with pauses by chance and in turn, some seconds. 500 tasks under one
 * grant need 3 at most.
 */
export const patient = { attempts: 20 } as const;

/** Says nothing against the event: it is neither counted nor parked. */
export const isNoFault = (error: unknown): boolean => isContention(error) || isOutage(error);

/** The database is away or going down. 57P0x, class 08, 53 (no resources), or no answer. */
const isOutage = (error: unknown): boolean => {
  const { code, message } = error as { code?: string; message?: string };
  if (typeof code === 'string') return /^(57P0|08|53)/.test(code) || ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT'].includes(code);
  return /^(Connection terminated|Client has encountered a connection error|timeout exceeded when trying to connect)/.test(message ?? '');
};
