import { pino, type Logger } from 'pino';

export type Log = Pick<Logger, 'info' | 'warn' | 'error' | 'debug'>;

/** JSON lines on stderr. CHRYSALIS_LOG sets the level. */
export const createLog = (name: string): Log =>
  pino({ name, level: process.env['CHRYSALIS_LOG'] ?? 'info' }, pino.destination({ dest: 2, sync: true }));
