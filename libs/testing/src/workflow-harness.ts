import type { WorkflowEvent } from '@chrysalis/contracts';
import { validateRequest } from '@chrysalis/workflow-core';
import { check } from './workflow-harness/checks.ts';
import { endOf } from './workflow-harness/expectations.ts';
import { goodRun, scenariosOf } from './workflow-harness/scenarios.ts';
import type { HarnessOptions, HarnessReport, RunResult, Violation } from './workflow-harness/types.ts';
import { HarnessWorld } from './workflow-harness/world.ts';

export { sampleWorkflows } from './workflow-harness/samples.ts';
export type { ExecutorModel, HarnessOptions, HarnessReport, Violation } from './workflow-harness/types.ts';

/**
 * Runs a workflow in virtual time through every failure there is a name for: each task (of a `forEach` the first, a middle and the last
 * item) fails at each attempt in each way, each action and each compensation runs twice, nobody bids, winners never begin, executors fall
 * silent, the engine is lost at each step, messages come late, twice and out of order, somebody cancels; then all of it at once, with
 * changes of the running instance, by seeds. Each run must end with the true first cause, what is undone must leave nothing, and each
 * failure must really have been reached. The effects are a model, a set of tasks that were done; the log is judged by itself, with no
 * help of the engine.
 */
export const everyStepFails = (options: HarnessOptions): HarnessReport => {
  const { definition, params, seeds = 20, firstSeed = 1, singleFaults = true } = options;
  const faults = validateRequest({ definition, params: { ...params } });
  if (faults.length > 0) throw new Error(`the workflow has faults: ${faults.map((f) => `${f.place}: ${f.message}`).join('; ')}`);
  const good = new HarnessWorld(options, goodRun).run();
  const scenarios = scenariosOf(definition, good, seeds, firstSeed, singleFaults);
  const tally = new Tally(options);
  tally.add(good);
  for (const scenario of scenarios) tally.add(new HarnessWorld(options, scenario).run());
  return tally.report;
};

/** The same, as an assertion: throws with the first violations and the log of each. */
export const expectEveryStepFails = (options: HarnessOptions): HarnessReport => {
  const report = everyStepFails(options);
  if (report.violations.length === 0) return report;
  const told = report.violations.slice(0, 3).map((v) => `${v.scenario} (seed ${v.seed}): ${v.message}\n    ${v.log.join('\n    ')}`);
  throw new Error(
    `${report.violations.length} violations in ${report.scenarios} scenarios of ${options.definition.name}:\n${told.join('\n')}`,
  );
};

/** Adds runs up: none is kept, so that 10,000 take no more memory than one. */
class Tally {
  readonly #finalStates: Record<string, number> = {};
  readonly #changes: Record<string, { taken: number; refused: number }> = {};
  readonly #violations: Violation[] = [];
  #scenarios = 0;
  #events = 0;
  #reached = 0;

  constructor(private readonly o: HarnessOptions) {}

  add(run: RunResult): void {
    this.#scenarios++;
    this.#events += run.log.length;
    const state = endOf(run)?.state ?? 'none';
    this.#finalStates[state] = (this.#finalStates[state] ?? 0) + 1;
    this.#reached += [...run.scenario.faults.keys()].filter((k) => run.reached.has(k)).length;
    for (const { type, taken } of run.changes) (this.#changes[type] ??= { taken: 0, refused: 0 })[taken ? 'taken' : 'refused']++;
    this.#violations.push(...violationsOf(this.o, run));
  }

  get report(): HarnessReport {
    const [finalStates, changes, violations] = [this.#finalStates, this.#changes, this.#violations];
    return { scenarios: this.#scenarios, events: this.#events, finalStates, changes, reached: this.#reached, violations };
  }
}

const violationsOf = (options: HarnessOptions, run: RunResult): Violation[] => {
  const { scenario } = run;
  const expected = scenario.expect?.(run);
  const messages = [...check(options.definition, run), ...(expected ? [expected] : []), ...notReached(options, run)];
  return messages.map((message) => ({ scenario: scenario.name, seed: scenario.seed, message, log: run.log.map(short) }));
};

/** A failure that was never reached proves nothing. The first planned one must be; later ones only as far as the story goes. */
const notReached = ({ definition, unreachable = [] }: HarnessOptions, run: RunResult): string[] => {
  const [first] = run.scenario.faults.keys();
  if (first !== undefined && !run.reached.has(first)) return [`${first} was never reached`];
  if (run.scenario !== goodRun) return [];
  const ran = new Set([...run.reached].map((k) => k.split(' ')[1]!.split('.')[0]!));
  return definition.tasks.filter((t) => !unreachable.includes(t.name) && !ran.has(t.name)).map((t) => `${t.name} was never reached`);
};

const short = (event: WorkflowEvent): string => {
  const { task, attempt, action, final, state, cause, change, executor } = event.data as Record<string, unknown> & {
    cause?: { code: string };
    change?: object;
  };
  const told = change === undefined ? undefined : JSON.stringify(change).slice(0, 120);
  const parts = [action, task, attempt, final === undefined ? undefined : final ? 'for good' : 'again', state, cause?.code, told, executor];
  return `${event.type.split('.').slice(2, 4).join('.')} ${parts.filter((p) => p !== undefined).join(' ')}`;
};
