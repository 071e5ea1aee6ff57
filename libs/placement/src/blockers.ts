import type { Blocker } from '@chrysalis/contracts';
import type { Objection } from './types.ts';

/** A host's refusal as a plan, an option or a preflight tells it. */
export const blockerOf = (hostId: string, { code, message, remedy }: Objection): Blocker => ({
  code,
  subject: hostId,
  message: message.slice(0, 1024),
  remedy: remedy.slice(0, 512),
});
