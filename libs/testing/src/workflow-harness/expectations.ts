import type { WorkflowEvent } from '@chrysalis/contracts';
import type { RunResult } from './types.ts';

type Expectation = (run: RunResult) => string | undefined;
type Ended = Extract<WorkflowEvent, { type: 'chrysalis.workflow.instance.ended.v1' }>['data'];

export const endOf = ({ log }: Pick<RunResult, 'log'>): Ended | undefined => {
  const last = log.at(-1);
  return last?.type === 'chrysalis.workflow.instance.ended.v1' ? last.data : undefined;
};

export const isNow =
  (...states: string[]): Expectation =>
  (run) => {
    const state = endOf(run)?.state ?? 'not ended';
    return states.includes(state) ? undefined : `it ended ${state}, not ${states.join(' or ')}`;
  };

/**
 * Where a failure of this task leads, if it is the only one: it is undone, or past a point of no return it stops. Where the workflow's
 * deadline comes before the last attempt, that is the failure.
 */
export const failedAt =
  (task: string): Expectation =>
  (run) => {
    const points = new Set(pointsOf(run));
    const failed = run.log.some((e) => e.type === 'chrysalis.workflow.task.failed.v1' && e.data.final && e.data.task === task);
    const late = endOf(run)?.cause?.code === 'workflow.deadline_passed';
    if (!failed && !late) return `${task} never failed for good`;
    const committed = run.log.some((e) => e.type === 'chrysalis.workflow.task.succeeded.v1' && points.has(e.data.task));
    return isNow(committed ? 'stopped' : 'undone')(run);
  };

const pointsOf = ({ log: [started] }: RunResult): string[] => {
  if (started?.type !== 'chrysalis.workflow.instance.started.v1') return [];
  return started.data.definition.tasks.filter((t) => t.pointOfNoReturn).map((t) => t.name);
};
