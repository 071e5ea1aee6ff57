import { Environment } from '@marcbachmann/cel-js';
import { celOptions, evaluate, firstLine, MAX_LENGTH, refusalsIn, type Verdict } from '../definition/condition.ts';

/** An event as a policy sees it: the attributes of its CloudEvent that say something, and its data. */
export type PolicyEvent = {
  readonly id: string;
  readonly type: string;
  readonly subject: string;
  readonly time: string;
  readonly tenant: string;
  readonly actor: string;
  readonly data: unknown;
};
export type EventCondition = { readonly source: string; readonly evaluate: (event: PolicyEvent) => Verdict };
type Say = (code: 'workflow.condition_malformed' | 'workflow.condition_refused', message: string) => void;

const environment = new Environment(celOptions).registerVariable('event', 'map');

/**
 * What a condition may look at: one macro over a list with `in` inside is the square of this, a matter of milliseconds. The events of
 * this system have some hundred values; those that carry whole workflows or topologies of many disks may have more.
 */
const MAX_VALUES = 2_000;
const MAX_TEXT = 65_536;

/** CEL over `event`, parsed and checked; `undefined` where a fault was said. */
export const parseEventCondition = (source: string, say: Say): EventCondition | undefined => {
  if (source.length > MAX_LENGTH) return void say('workflow.condition_malformed', `longer than ${MAX_LENGTH} characters`);
  try {
    const program = environment.parse(source);
    const checked = program.check();
    if (!checked.valid) throw checked.error ?? new Error('does not type-check');
    if (checked.type !== 'bool' && checked.type !== 'dyn') throw new Error(`gives ${checked.type}, not a bool`);
    const refusals = refusalsIn(program.ast);
    refusals.forEach((r) => say('workflow.condition_refused', r));
    if (refusals.length > 0) return undefined;
    return { source, evaluate: (event) => (eventFits(event) ? evaluate(program, { event }) : tooLarge) };
  } catch (error) {
    return void say('workflow.condition_malformed', firstLine(error));
  }
};

export const tooLarge = { ok: false, message: `the event has more than ${MAX_VALUES} values or ${MAX_TEXT} characters` } as const;

/** Is it small enough to be looked at, and kept, for a policy? Counts no further than to the bound. */
export const eventFits = (event: PolicyEvent): boolean => {
  const todo: unknown[] = [event];
  let [values, text] = [0, 0];
  while (todo.length > 0) {
    const value = todo.pop();
    text += typeof value === 'string' ? value.length : 0;
    if (++values > MAX_VALUES || text > MAX_TEXT) return false;
    if (value === null || typeof value !== 'object') continue;
    for (const inner of Object.values(value)) if (todo.push(inner) > MAX_VALUES) return false;
  }
  return true;
};
