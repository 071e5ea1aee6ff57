import type { WorkflowEvent } from '@chrysalis/contracts';
import { validateRequest } from '@chrysalis/workflow-core';
import { check } from './workflow-harness/checks.ts';
import { scenariosOf } from './workflow-harness/scenarios.ts';
import type { HarnessOptions, HarnessReport, RunResult, Violation } from './workflow-harness/types.ts';
import { HarnessWorld } from './workflow-harness/world.ts';

export type { ExecutorModel, HarnessOptions, HarnessReport, Violation } from './workflow-harness/types.ts';

/**
 * Runs a workflow in virtual time through every failure there is a name for: each task fails at each attempt in each way, each action
 * and each compensation runs twice, the engine is lost at each step, messages come late, twice and out of order; then all of it at once,
 * by seeds. Each run must end with the true first cause, what is undone must leave nothing, and each failure must really have been
 * reached. The effects are a model, a set of tasks that were done; the log is judged by itself, with no help of the engine.
 */
export const everyStepFails = (options: HarnessOptions): HarnessReport => {
  const { definition, params, seeds = 20 } = options;
  const faults = validateRequest({ definition, params: { ...params } });
  if (faults.length > 0) throw new Error(`the workflow has faults: ${faults.map((f) => `${f.place}: ${f.message}`).join('; ')}`);
  const unreachable = new Set(options.unreachable);
  const scenarios = scenariosOf(definition, seeds, options.singleFaults).filter(
    (s) => ![...s.faults.keys()].some((k) => unreachable.has(k.split(' ')[1]!)),
  );
  const runs = scenarios.map((scenario) => new HarnessWorld(options, scenario).run());
  const finalStates: Record<string, number> = {};
  for (const run of runs) {
    const state = endState(run) ?? 'none';
    finalStates[state] = (finalStates[state] ?? 0) + 1;
  }
  return {
    scenarios: runs.length,
    events: runs.reduce((sum, run) => sum + run.log.length, 0),
    finalStates,
    reached: runs.reduce((sum, run) => sum + [...run.scenario.faults.keys()].filter((k) => run.reached.has(k)).length, 0),
    violations: runs.flatMap((run) => violationsOf(options, run, unreachable)),
  };
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

const violationsOf = (options: HarnessOptions, run: RunResult, unreachable: ReadonlySet<string>): Violation[] => {
  const { scenario } = run;
  const expected = scenario.expect?.(run);
  const messages = [...check(options.definition, run), ...(expected ? [expected] : []), ...notReached(options, run, unreachable)];
  return messages.map((message) => ({ scenario: scenario.name, seed: scenario.seed, message, log: run.log.map(short) }));
};

/** A failure that was never reached proves nothing. The first planned one must be; later ones only as far as the story goes. */
const notReached = ({ definition }: HarnessOptions, run: RunResult, unreachable: ReadonlySet<string>): string[] => {
  const [first] = run.scenario.faults.keys();
  if (first !== undefined && !run.reached.has(first)) return [`${first} was never reached`];
  if (run.scenario.name !== 'all goes well') return [];
  return definition.tasks
    .filter((t) => !unreachable.has(t.name) && !run.reached.has(`run ${t.name} 1`))
    .map((t) => `${t.name} was never reached`);
};

const endState = ({ log }: RunResult): string | undefined => {
  const last = log.at(-1);
  return last?.type === 'chrysalis.workflow.instance.ended.v1' ? last.data.state : undefined;
};

const short = (event: WorkflowEvent): string => {
  const { task, attempt, action, final, state, cause } = event.data as Record<string, unknown> & { cause?: { code: string } };
  const parts = [action, task, attempt, final === undefined ? undefined : final ? 'for good' : 'again', state, cause?.code];
  return `${event.type.split('.').slice(2, 4).join('.')} ${parts.filter((p) => p !== undefined).join(' ')}`;
};
