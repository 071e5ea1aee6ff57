const codes = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN']);
/** 08: the connection; 53: no resources; 57P0x: it goes down, or comes up. */
const classes = /^(08|53|57P0)/;
/** What the driver says without a code. */
const words =
  /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|Query read timeout)/;

/** PostgreSQL was not reached, or the connection to it ended: the same may be tried again, and says nothing of what was asked for. */
export const isDatabaseAway = (error: unknown): boolean => {
  const { code, message, syscall } = (error ?? {}) as { code?: unknown; message?: unknown; syscall?: unknown };
  if (code === 'ENOENT' && syscall === 'connect') return true; // its socket goes with it
  if (typeof code === 'string' && (codes.has(code) || classes.test(code))) return true;
  return typeof message === 'string' && words.test(message);
};
