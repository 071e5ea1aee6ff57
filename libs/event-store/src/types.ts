/** What a stream must look like for an append to happen. A number is the version of its last event; 0 is a stream without events. */
export type Expected = 'noStream' | 'streamExists' | 'any' | number;

/** `at` is ISO 8601 and comes in with the command. `tenant` is the owner of the data, `actor` who asked. */
export type EventMeta = {
  readonly at: string;
  readonly correlationId: string;
  readonly causationId?: string;
  readonly actor: string;
  readonly tenant: string;
  readonly traceparent?: string;
};

/** `id` is a uuid (v7), `type` is `chrysalis.<context>.<noun>.<verb-past>.v<N>`. */
export type NewEvent = { readonly id: string; readonly type: string; readonly data: unknown; readonly meta: EventMeta };

/** `version` counts from 1 without gaps in its stream. `position` and `transactionId` order the whole log: see sql/read-all.ts. */
export type StoredEvent = NewEvent & {
  readonly stream: string;
  readonly version: number;
  readonly position: string;
  readonly transactionId: string;
};

export type Append = { readonly stream: string; readonly expected: Expected; readonly events: readonly NewEvent[] };

/** `versions` holds the last version of each stream; `actual` is 0 where there is no stream. */
export type Appended =
  | { readonly ok: true; readonly versions: Readonly<Record<string, number>> }
  | { readonly ok: false; readonly conflict: { readonly stream: string; readonly expected: Expected; readonly actual: number } };

/** A place in the log. `origin` is before its first event. */
export type Position = { readonly transactionId: string; readonly position: string };
export const origin: Position = { transactionId: '0', position: '0' };
