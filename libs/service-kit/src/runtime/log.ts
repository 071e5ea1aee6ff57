import { pino, type Logger } from 'pino';

/** JSON lines on stderr, so that a command's stdout carries its data alone. CHRYSALIS_LOG sets the level; default `info`. */
export const createLog = (name: string): Logger =>
  pino({ name, level: process.env['CHRYSALIS_LOG'] ?? 'info' }, pino.destination({ dest: 2, sync: true }));
export type { Logger };
