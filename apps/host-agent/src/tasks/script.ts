import { GuestError, type guestTasks, type OutputOf } from '@chrysalis/contracts';

export type Ended = OutputOf<typeof guestTasks.runScript>;
/** Characters in a message; all that was kept is in the cause's detail. */
const SHOWN = 600;

/** A script that ended badly, or not in its time, is a failure, and what it said last is in the words of it. */
export const judged = async (running: Promise<Ended>, okExitCodes: readonly number[] = []): Promise<Ended> => {
  const ended = await running.catch((error: unknown) => {
    throw error instanceof GuestError && error.code === 'guest.script_timeout' ? quoted(error, error.message) : error;
  });
  if (ended.exitCode === 0 || okExitCodes.includes(ended.exitCode)) return ended;
  throw quoted(new GuestError('guest.script_failed', '', ended), `the script ended with exit code ${ended.exitCode}`);
};

const quoted = ({ code, detail }: GuestError, message: string): GuestError => {
  const said = lastWords(detail);
  return new GuestError(code, said === '' ? `${message}; it said nothing` : `${message}; it said: ${said}`, detail);
};

/** The end of what it complained of, or else of what it said: there the reason stands. It is from a guest: nothing is taken for granted. */
const lastWords = (detail: unknown): string => {
  const { stdout, stderr } = (detail ?? {}) as { stdout?: unknown; stderr?: unknown };
  const said = [stderr, stdout].find((text): text is string => typeof text === 'string' && text.trim() !== '')?.trim() ?? '';
  return said.length <= SHOWN ? said : `…${said.slice(-SHOWN)}`;
};
