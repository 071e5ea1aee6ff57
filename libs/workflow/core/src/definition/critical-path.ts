import type { Instance, TaskState } from '../instance/state.ts';

/** The longest chain of dependencies. `by` says what it is measured in: deadlines where nothing has ended yet, else durations where known. */
export type CriticalPath = { readonly by: 'deadline' | 'measured'; readonly tasks: readonly string[]; readonly ms: number };

/** A task that has ended counts with what it took, one that was skipped or will never run with nothing, the others with their deadlines. */
export const criticalPath = (state: Instance, tasks: readonly TaskState[]): CriticalPath => {
  const { nodes, order } = state.graph;
  const total: number[] = [];
  const before: (number | undefined)[] = [];
  for (const i of order) {
    const longest = nodes[i]!.dependsOn.reduce<number | undefined>(
      (best, d) => (best === undefined || total[d]! > total[best]! ? d : best),
      undefined,
    );
    before[i] = longest;
    total[i] = (longest === undefined ? 0 : total[longest]!) + weight(state, tasks[i]!, nodes[i]!.definition.deadlineMs);
  }
  const last = order.reduce((best, i) => (total[i]! > total[best]! ? i : best), order[0]!);
  const path: string[] = [];
  for (let i: number | undefined = last; i !== undefined; i = before[i]) path.push(nodes[i]!.definition.name);
  const measured = tasks.some((t) => duration(t) !== undefined);
  return { by: measured ? 'measured' : 'deadline', tasks: path.reverse(), ms: total[last]! };
};

const weight = (state: Instance, task: TaskState, deadlineMs: number): number =>
  duration(task) ?? (task.phase === 'skipped' || state.end ? 0 : deadlineMs);

/** Milliseconds from the first dispatch of the run to its end, or `undefined` while it has not ended. */
export const duration = (task: TaskState): number | undefined => {
  const runs = task.attempts.filter((a) => a.action === 'run');
  const [first, last] = [runs[0], runs.at(-1)];
  if (!first || !last?.settled || task.phase === 'retrying') return undefined;
  const end = last.settled.at ?? last.settled.endedAt ?? last.deadlineAt;
  return Math.max(0, Date.parse(end) - Date.parse(first.dispatchedAt));
};
