import type { z } from 'zod';

/** An event type is a value that carries its schema: `chrysalis.<context>.<noun>.<verb-past>.v<n>`. */
export type EventContract<T extends string = string, S extends z.ZodType = z.ZodType> = {
  readonly type: T;
  readonly schema: S;
  readonly summary: string;
};

export const event = <T extends `chrysalis.${string}`, S extends z.ZodType>(type: T, summary: string, schema: S): EventContract<T, S> => ({
  type,
  schema,
  summary,
});

/** The data of a contract, or of one of several. */
export type DataOf<C extends EventContract> = C extends EventContract<string, infer S> ? z.infer<S> : never;
/** `{ type, data }` of a contract, or of a record of contracts as a union: what `evolve` switches over. */
export type EventOf<C extends EventContract> =
  C extends EventContract<infer T, infer S> ? { readonly type: T; readonly data: z.infer<S> } : never;
export type EventsOf<R extends Record<string, EventContract>> = EventOf<R[keyof R]>;

/** A task kind is a value as well: what it takes, what it gives, and whether it touches a running guest. */
export type TaskContract<K extends string = string, I extends z.ZodType = z.ZodType, O extends z.ZodType = z.ZodType> = {
  readonly kind: K;
  readonly group: TaskGroup;
  readonly input: I;
  readonly output: O;
  readonly summary: string;
};
export const taskGroups = ['provisioning', 'resource-allocation', 'migration-templates', 'agent-gateway', 'workflow'] as const;
export type TaskGroup = (typeof taskGroups)[number];

export const task = <K extends string, I extends z.ZodType, O extends z.ZodType>(
  group: TaskGroup,
  kind: K,
  summary: string,
  input: I,
  output: O,
): TaskContract<K, I, O> => ({
  kind,
  group,
  input,
  output,
  summary,
});
export type InputOf<C extends TaskContract> = z.infer<C['input']>;
export type OutputOf<C extends TaskContract> = z.infer<C['output']>;
