import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** What a test wants to happen at a named place. `times` counts down per process; absent: each pass. */
export type FailpointRule = {
  readonly action: 'fail' | 'delay' | 'exit' | 'hang';
  readonly code?: string;
  readonly ms?: number;
  readonly times?: number;
  /** Only when every given key of the pass's context has this value. */
  readonly where?: Readonly<Record<string, string>>;
};

export class FailpointError extends Error {
  constructor(
    readonly point: string,
    readonly code: string,
  ) {
    super(`failpoint ${point}`);
    this.name = 'FailpointError';
  }
}

const passes = new Map<string, number>();

/**
 * A named place where a test may fail, delay, hang or kill this process. Inert unless CHRYSALIS_FAILPOINTS names a JSON file of
 * rules by name; the file is read at each pass, so that a test changes the rules while processes run.
 */
export const failpoint = async (name: string, context: Readonly<Record<string, string>> = {}): Promise<void> => {
  const rule = ruleFor(name, context);
  if (!rule) return;
  const seen = (passes.get(name) ?? 0) + 1;
  passes.set(name, seen);
  if (rule.times !== undefined && seen > rule.times) return;
  switch (rule.action) {
    case 'delay':
      return void (await sleep(rule.ms ?? 1000));
    case 'hang':
      return new Promise(() => undefined);
    case 'exit':
      process.kill(process.pid, 'SIGKILL');
      return new Promise(() => undefined);
    case 'fail':
      throw new FailpointError(name, rule.code ?? 'failpoint.hit');
  }
};

/** A test has asked for some, and means single passes by them. */
export const failpointsSet = (): boolean => Boolean(process.env['CHRYSALIS_FAILPOINTS']);

const ruleFor = (name: string, context: Readonly<Record<string, string>>): FailpointRule | undefined => {
  const file = process.env['CHRYSALIS_FAILPOINTS'];
  if (!file) return undefined;
  let rules: Record<string, FailpointRule>;
  try {
    rules = JSON.parse(readFileSync(file, 'utf8')) as Record<string, FailpointRule>;
  } catch {
    return undefined; // not there (yet): nothing is asked for
  }
  const rule = rules[name];
  return rule && Object.entries(rule.where ?? {}).every(([k, v]) => context[k] === v) ? rule : undefined;
};
