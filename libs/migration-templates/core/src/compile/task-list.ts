import type { InputOf, Section, TaskContract, TaskDefinition, TaskGroup } from '@chrysalis/contracts';
import { deadlines, retries } from './timings.ts';

type Reference = `\${${string}}`;
/** A task's input, where any field may be a reference in place of its value: the compiler sees a field that is missing. */
export type Input<C extends TaskContract> = { [K in keyof InputOf<C>]: InputOf<C>[K] | Reference };
type Route = TaskDefinition['route'];
type Compensation = NonNullable<TaskDefinition['compensation']>;

export const param = (path: string): Reference => `\${params.${path}}`;
export const output = (task: string, path: string): Reference => `\${tasks.${task}.output.${path}}`;

export const onHost = (hostId: string): Route => ({ mode: 'direct', group: 'agent-gateway', executor: `host:${hostId}` });
export const onService = (group: TaskGroup): Route => ({ mode: 'group', group });

/** How to undo a task: kind, input, where. */
export const undoing = <C extends TaskContract>(
  contract: C,
  input: Input<C>,
  route: Route,
  deadlineMs: number = deadlines.plug,
): Compensation => ({
  kind: contract.kind,
  input,
  route,
  deadlineMs,
  retry: retries.undo,
});

export type NewTask<C extends TaskContract> = Readonly<{
  name: string;
  summary: string;
  section: Section;
  input: Input<C>;
  route: Route;
  after?: readonly string[];
  when?: string;
  deadlineMs?: number;
  retry?: TaskDefinition['retry'];
  compensation?: Compensation | undefined;
  pointOfNoReturn?: boolean;
}>;

/** The tasks so far. `add` answers the name, for others to come after. */
export type TaskList = Readonly<{
  all: readonly TaskDefinition[];
  add: <C extends TaskContract>(contract: C, task: NewTask<C>) => string;
  /** The tasks that none of those so far waits for. */
  ends: () => string[];
}>;

export const taskList = (): TaskList => {
  const tasks: TaskDefinition[] = [];
  return {
    all: tasks,
    add: (contract, { after = [], deadlineMs = deadlines.service, retry = retries.service, compensation, summary, ...rest }) => {
      tasks.push({
        kind: contract.kind,
        summary: summary.slice(0, 255),
        deadlineMs,
        retry,
        ...(after.length > 0 ? { after: [...new Set(after)] } : {}),
        ...(compensation ? { compensation } : {}),
        ...rest,
      });
      return rest.name;
    },
    ends: () => {
      const waitedFor = new Set(tasks.flatMap((t) => [...(t.after ?? []), ...referenced(t.input)]));
      return tasks.map((t) => t.name).filter((name) => !waitedFor.has(name));
    },
  };
};

const referenced = (input: unknown): string[] => [...JSON.stringify(input).matchAll(/\$\{tasks\.([a-z0-9-]+)\./g)].map((m) => m[1]!);
