import { z } from 'zod';
import { Cause, Count, Id, Positive } from './shapes.ts';

/** From this version on an agent opens consoles. */
export const CONSOLES_SINCE = 4;
/** Sent and not yet taken, each way: what a session may hold on its way, however slow its other end is. */
export const CONSOLE_WINDOW = 65_536;
export const CONSOLE_TYPED_WINDOW = 4_096;
/** Of the guest's bytes in one frame. */
export const CONSOLE_PIECE = 16_384;
/** What is kept of a console, and so what can be asked for of what was before. */
export const CONSOLE_TAIL = 65_536;

const session = Id;
/** Bytes as they came: what a guest writes is no text. */
const Bytes = z.base64().max(4 * Math.ceil(CONSOLE_PIECE / 3));

/** `terminal`: what it writes from now on, and the way to type. `log`: what is kept. `screen`: a picture, PNG. The last two end by themselves. */
export const ConsoleKind = z.enum(['terminal', 'log', 'screen']);

export const consoleToAgent = [
  z.object({
    type: z.literal('console-open'),
    session,
    vmId: Id,
    what: ConsoleKind,
    /** May type, which one session of a VM may. `force`: in place of the one that may now, which reads on. */
    write: z.boolean(),
    force: z.boolean(),
    /** For the other's eyes. */
    by: z.string().max(255),
    /** How much of what is kept comes first. */
    tail: Count.max(CONSOLE_TAIL),
  }),
  z.object({ type: z.literal('console-typed'), session, data: Bytes }),
  /** So many bytes of output have been passed on: as many more may come. */
  z.object({ type: z.literal('console-passed'), session, bytes: Positive }),
  z.object({ type: z.literal('console-close'), session }),
] as const;

export const consoleFromAgent = [
  /** Before any output. `tookFrom`: the session that may not type any more. */
  z.object({ type: z.literal('console-opened'), session, writer: z.boolean(), tookFrom: Id.optional() }),
  /** `skipped`: so many bytes before these are lost, as the reader was too slow. */
  z.object({ type: z.literal('console-output'), session, data: Bytes, skipped: Count.optional() }),
  /** So many bytes of what was typed are the hypervisor's, or dropped. */
  z.object({ type: z.literal('console-took'), session, bytes: Positive }),
  /** From now on it only reads. */
  z.object({ type: z.literal('console-reads'), session, by: z.string().max(255) }),
  z.object({ type: z.literal('console-notice'), session, cause: Cause }),
  /** Without a cause: what was asked for has come in full. */
  z.object({ type: z.literal('console-closed'), session, cause: Cause.optional() }),
] as const;

export type ConsoleToAgent = z.infer<(typeof consoleToAgent)[number]>;
export type ConsoleFromAgent = z.infer<(typeof consoleFromAgent)[number]>;
export const isConsoleFrame = <F extends { readonly type: string }>(frame: F): frame is Extract<F, { type: `console-${string}` }> =>
  frame.type.startsWith('console-');

/** What a console's WebSocket says beside the guest's bytes, which are its binary messages: JSON, as text. */
export const ConsoleWord = z.discriminatedUnion('type', [
  z.object({ type: z.literal('opened'), session: Id, hostId: z.string(), writer: z.boolean() }),
  z.object({ type: z.literal('reads'), by: z.string() }),
  z.object({ type: z.literal('skipped'), bytes: Count }),
  z.object({ type: z.literal('notice'), code: z.string(), message: z.string() }),
  /** The last. */
  z.object({ type: z.literal('closed'), code: z.string(), message: z.string() }),
]);
export type ConsoleWord = z.infer<typeof ConsoleWord>;
