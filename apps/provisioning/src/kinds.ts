import type { KindNoun } from '@chrysalis/contracts';
import { volumePart } from './volumes/index.ts';

/** What of the service a kind of virtual resource is: its routes, and what it does with tasks and events. */
type Part = {
  readonly controllers: readonly (new (...args: never[]) => unknown)[];
  readonly handlers: readonly (new (...args: never[]) => unknown)[];
};

const parts = { volume: volumePart } as const satisfies Readonly<Record<KindNoun, Part>>;

export const kindControllers = Object.values(parts).flatMap((p) => p.controllers);
export const kindHandlers = Object.values(parts).flatMap((p) => p.handlers);
