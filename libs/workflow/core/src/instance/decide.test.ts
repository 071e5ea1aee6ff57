import { describe, expect, it } from '@jest/globals';
import type { TaskDefinition, TaskReport, WorkflowDefinition, WorkflowEvent } from '@chrysalis/contracts';
import { fold } from '@chrysalis/kernel';
import { decide, evolve, initial, isInstance, nextTimers, viewOf, type WorkflowCommand, type WorkflowInstance } from '../index.ts';

const t0 = Date.parse('2026-01-01T00:00:00.000Z');
const iso = (ms: number): string => new Date(t0 + ms).toISOString();
const task = (name: string, more: Partial<TaskDefinition> = {}): TaskDefinition => ({
  name,
  kind: 'test.do',
  summary: name,
  input: {},
  deadlineMs: 1000,
  route: { mode: 'group', group: 'provisioning' },
  ...more,
});
const undo = (more: Partial<NonNullable<TaskDefinition['compensation']>> = {}): NonNullable<TaskDefinition['compensation']> => ({
  kind: 'test.undo',
  input: {},
  deadlineMs: 500,
  route: { mode: 'group', group: 'provisioning' },
  ...more,
});
const definition = (tasks: TaskDefinition[], more: Partial<WorkflowDefinition> = {}): WorkflowDefinition => ({
  name: 'test',
  version: 1,
  summary: 'a test',
  params: {},
  tasks,
  deadlineMs: 10_000,
  ...more,
});

/** A log, and the commands that made it. */
class Story {
  events: WorkflowEvent[] = [];
  state: WorkflowInstance = initial;
  constructor(d: WorkflowDefinition, params: Record<string, unknown> = {}) {
    this.when({ type: 'start', request: { workflowId: 'w1', definition: d, params, subject: 's' }, tenant: 't', at: iso(0) });
  }
  /** The short names of what came of a command, or the code of its refusal. */
  when(command: WorkflowCommand): string[] | string {
    const decision = decide(command, this.state);
    if (!decision.ok) return decision.rejection.code;
    this.events.push(...decision.events);
    this.state = fold(evolve, this.state, decision.events);
    return decision.events.map(short);
  }
  report(
    name: string,
    ok: boolean | string,
    ms: number,
    more: Partial<TaskReport> & { output?: Record<string, unknown>; retriable?: boolean } = {},
  ) {
    const given = this.events.findLast((e) => e.type === 'chrysalis.workflow.task.dispatched.v1' && e.data.task === name)!
      .data as unknown as TaskReport;
    const { output = {}, retriable = false, ...rest } = more;
    const outcome = ok === true ? { ok, output } : { ok: false as const, cause: { code: String(ok), message: 'm', retriable } };
    const { action, attempt, token } = given;
    const report = {
      workflowId: 'w1',
      task: name,
      action,
      attempt,
      token,
      executor: 'x',
      outcome,
      startedAt: iso(ms),
      endedAt: iso(ms),
      ...rest,
    };
    return this.when({ type: 'report', report, at: iso(ms) });
  }
  tick(ms: number) {
    return this.when({ type: 'tick', at: iso(ms) });
  }
  get end() {
    return isInstance(this.state) || this.state.status === 'refused' ? this.state.end : undefined;
  }
}
const short = (e: WorkflowEvent): string => {
  const noun = e.type.split('.').slice(2, 4).join('.');
  const d = e.data as { task?: string; state?: string; action?: string; attempt?: number };
  return e.type.includes('dispatched')
    ? `${d.action} ${d.task} ${d.attempt}`
    : `${noun}${d.task ? ` ${d.task}` : ''}${d.state ? ` ${d.state}` : ''}`;
};

describe('going forward', () => {
  it('dispatches everything that does not depend, in parallel', () => {
    const s = new Story(definition([task('a'), task('b'), task('c', { after: ['a', 'b'] })]));
    expect(s.events.map(short)).toEqual(['instance.started', 'run a 1', 'run b 1']);
    expect(s.report('a', true, 1)).toEqual(['task.succeeded a']);
    expect(s.report('b', true, 2)).toEqual(['task.succeeded b', 'run c 1']);
    expect(s.report('c', true, 3)).toEqual(['task.succeeded c', 'instance.ended succeeded']);
  });

  it('takes order and values from references; a string that is one reference keeps its type', () => {
    const s = new Story(
      definition(
        [
          task('b', {
            input: {
              n: '${tasks.a.output.n}',
              list: ['${tasks.a.output.gone}'],
              text: 'n=${tasks.a.output.n} ${params.p} $${HOME}',
              none: '${tasks.a.output.gone}',
            },
          }),
          task('a'),
        ],
        { params: { p: { type: 'string' } }, output: { result: '${tasks.b.output.r}' } },
      ),
      { p: 'q' },
    );
    s.report('a', true, 1, { output: { n: 7 } });
    expect(s.events.at(-1)!.data).toMatchObject({ task: 'b', input: { n: 7, list: [null], text: 'n=7 q ${HOME}' } });
    expect((s.events.at(-1)!.data as { input: object }).input).not.toHaveProperty('none');
    s.report('b', true, 2, { output: { r: { deep: true } } });
    expect(s.end).toMatchObject({ state: 'succeeded', output: { result: { deep: true } } });
  });

  it('skips a task whose condition is false, and goes on with those behind it', () => {
    const s = new Story(
      definition(
        [task('a-b'), task('c', { when: 'tasks["a-b"].output.n > 3 && params.go' }), task('d', { input: { x: '${tasks.c.output.y}' } })],
        {
          params: { go: { type: 'boolean' } },
        },
      ),
      { go: true },
    );
    expect(s.report('a-b', true, 1, { output: { n: 3 } })).toEqual(['task.succeeded a-b', 'task.skipped c', 'run d 1']);
    expect((s.events.at(-1)!.data as { input: object }).input).toEqual({});
  });

  it('fails a task whose condition cannot be worked out, and names it', () => {
    const s = new Story(definition([task('a', { compensation: undo() }), task('b', { when: 'tasks.a.output.missing == 1' })]));
    expect(s.report('a', true, 1)).toEqual(['task.succeeded a', 'task.failed b', 'compensation.started b', 'compensate a 1']);
    s.report('a', true, 2);
    expect(s.end).toMatchObject({ state: 'undone', cause: { code: 'workflow.condition_failed' } });
  });

  it('raises the token with every dispatch, above those of any workflow before', () => {
    const s = new Story(definition([task('a'), task('b'), task('c')]));
    const tokens = s.events.flatMap((e) => (e.type === 'chrysalis.workflow.task.dispatched.v1' ? [e.data.token] : []));
    expect(tokens).toEqual([t0 * 1000, t0 * 1000 + 1, t0 * 1000 + 2]);
  });
});

describe('retries, deadlines and reports that come too late', () => {
  const retry = { attempts: 3, backoffMs: 100 };
  it('tries again after a growing pause, then undoes', () => {
    const s = new Story(definition([task('a', { retry, compensation: undo() })]));
    expect(s.report('a', 'x.y', 1, { retriable: true })).toEqual(['task.failed a']);
    expect(nextTimers(s.state)[0]).toEqual({ at: iso(101), kind: 'retry', task: 'a' });
    expect(s.tick(100)).toEqual([]);
    expect(s.tick(101)).toEqual(['run a 2']);
    s.report('a', 'x.y', 150, { retriable: true });
    expect(s.tick(350)).toEqual(['run a 3']);
    expect(s.report('a', 'x.z', 351, { retriable: true })).toEqual(['task.failed a', 'compensation.started a', 'compensate a 1']);
    expect(s.report('a', true, 352)).toEqual(['task.compensated a', 'instance.ended undone']);
    expect(s.end?.cause?.code).toBe('x.z');
  });

  it('fails a task at its deadline, and refuses the report that comes after', () => {
    const s = new Story(definition([task('a', { retry })]));
    const [late] = s.events.flatMap((e) => (e.type === 'chrysalis.workflow.task.dispatched.v1' ? [e.data.token] : []));
    expect(s.tick(1000)).toEqual(['task.failed a']);
    expect(s.tick(1100)).toEqual(['run a 2']);
    expect(s.report('a', true, 1101, { attempt: 1, token: late! })).toBe('workflow.report_stale');
    expect(s.report('a', true, 1101, { token: late! })).toBe('workflow.report_stale');
    expect(s.report('a', true, 1102)).toEqual(['task.succeeded a', 'instance.ended succeeded']);
    expect(s.report('a', true, 1103)).toBe('workflow.report_duplicate');
  });

  it('ends with the deadline of the instance as its cause', () => {
    const s = new Story(definition([task('a', { deadlineMs: 60_000, compensation: undo() })], { deadlineMs: 5000 }));
    expect(s.tick(5000)).toEqual(['task.failed a', 'compensation.started a', 'compensate a 1']);
    s.report('a', true, 5001);
    expect(s.end).toMatchObject({ state: 'undone', cause: { code: 'workflow.deadline_passed', detail: { of: 'workflow' } } });
  });

  it('is failed when an undo fails for good, and names what is left', () => {
    const s = new Story(
      definition([
        task('a', { compensation: undo() }),
        task('b', { after: ['a'], compensation: undo({ retry: { attempts: 2, backoffMs: 0 } }) }),
      ]),
    );
    s.report('a', true, 1);
    expect(s.report('b', 'b.broke', 2)).toEqual(['task.failed b', 'compensation.started b', 'compensate b 1']);
    expect(s.report('b', 'undo.broke', 3, { retriable: true })).toEqual(['compensation.failed b', 'compensate b 2']);
    expect(s.report('b', 'undo.broke', 4)).toEqual(['compensation.failed b', 'instance.ended failed']);
    expect(s.end).toMatchObject({ cause: { code: 'b.broke' }, missing: ['a', 'b'] });
  });
});

describe('undoing', () => {
  it('goes in reverse order of dependencies, in parallel where it can, and waits for what still runs', () => {
    const s = new Story(
      definition([
        task('root', { compensation: undo() }),
        task('left', { after: ['root'], compensation: undo() }),
        task('right', {
          after: ['root'],
          compensation: undo({ input: { got: '${tasks.right.output.id}', p: '${tasks.root.output.id}' } }),
        }),
        task('fails', { after: ['left'] }),
      ]),
    );
    s.report('root', true, 1, { output: { id: 5 } });
    s.report('left', true, 2);
    expect(s.report('fails', 'it.failed', 3)).toEqual(['task.failed fails', 'compensation.started fails', 'compensate left 1']);
    expect(s.report('left', true, 4)).toEqual(['task.compensated left']);
    expect(s.report('right', 'right.failed', 5, { action: 'run' })).toEqual(['task.failed right', 'compensate right 1']);
    expect(s.events.at(-1)!.data).toMatchObject({ input: { got: null, p: 5 } });
    expect(s.report('right', true, 6)).toEqual(['task.compensated right', 'compensate root 1']);
    s.report('root', true, 7);
    expect(s.end).toMatchObject({ state: 'undone', cause: { code: 'it.failed' } });
  });

  it('cancels', () => {
    const s = new Story(definition([task('a', { compensation: undo() }), task('b', { after: ['a'] })]));
    expect(s.when({ type: 'cancel', reason: 'enough', at: iso(1) })).toEqual(['cancel.requested', 'compensation.started']);
    expect(s.when({ type: 'cancel', reason: 'enough', at: iso(1) })).toEqual([]);
    expect(s.report('a', true, 2)).toEqual(['task.succeeded a', 'compensate a 1']);
    s.report('a', true, 3);
    expect(s.end).toMatchObject({ state: 'cancelled', cause: { code: 'workflow.cancelled', message: 'enough' } });
    expect(s.when({ type: 'cancel', reason: 'again', at: iso(9) })).toBe('workflow.ended');
  });
});

describe('the point of no return', () => {
  const tasks = [
    task('a', { compensation: undo() }),
    task('go', { after: ['a'], pointOfNoReturn: true }),
    task('b', { after: ['go'] }),
    task('beside', { after: ['a'] }),
    task('c', { after: ['b'] }),
  ];
  const until = (s: Story): Story => (s.report('a', true, 1), s);

  it('undoes before it', () => {
    const s = until(new Story(definition(tasks)));
    s.report('beside', true, 2);
    expect(s.report('go', 'go.failed', 3)).toEqual(['task.failed go', 'compensation.started go', 'compensate a 1']);
  });
  it('stops after it, naming what is missing', () => {
    const s = until(new Story(definition(tasks)));
    s.report('go', true, 2);
    expect(s.report('b', 'b.failed', 3)).toEqual(['task.failed b']);
    expect(s.report('beside', true, 4)).toEqual(['task.succeeded beside', 'instance.ended stopped']);
    expect(s.end).toMatchObject({ state: 'stopped', cause: { code: 'b.failed' }, missing: ['b', 'c'] });
    expect(s.when({ type: 'cancel', reason: 'late', at: iso(5) })).toBe('workflow.ended');
  });
  it('waits for its outcome when something beside it fails: nothing is undone under it', () => {
    const s = until(new Story(definition(tasks)));
    expect(s.report('beside', 'beside.failed', 2)).toEqual(['task.failed beside']);
    expect(s.report('go', true, 3)).toEqual(['task.succeeded go', 'run b 1']);
    s.report('b', true, 4);
    s.report('c', true, 5);
    expect(s.end).toMatchObject({ state: 'stopped', cause: { code: 'beside.failed' }, missing: ['beside'] });
  });
  it('lets a wish to cancel come too late', () => {
    const s = until(new Story(definition(tasks)));
    expect(s.when({ type: 'cancel', reason: 'no', at: iso(2) })).toEqual(['cancel.requested']);
    s.report('go', true, 3);
    s.report('beside', true, 3);
    s.report('b', true, 4);
    expect(s.when({ type: 'cancel', reason: 'no', at: iso(2) })).toBe('workflow.past_point_of_no_return');
    s.report('c', true, 5);
    expect(s.end?.state).toBe('succeeded');
  });
});

describe('starting', () => {
  it('refuses a request with every fault and its place, and gives the requester its verdict', () => {
    const d = definition(
      [
        task('a', {
          after: ['nobody'],
          input: { x: '${params.nope}', y: ['${tasks.ghost.output}'], z: '${HOME}' },
          when: 'tasks.all(x, true)',
        }),
        task('a', { when: '1 +' }),
        task('b', { after: ['c'] }),
        task('c', { input: { v: '${tasks.b.output.v}' }, when: '"a".matches("b")' }),
        task('d', { after: ['d'] }),
      ],
      { params: { need: { type: 'string' }, num: { type: 'number' } } },
    );
    const s = new Story(d, { num: 'x', extra: 1 });
    expect(s.events.map(short)).toEqual(['instance.ended undone']);
    const faults = (s.end!.cause!.detail as { faults: { code: string; place: string }[] }).faults.map((f) => `${f.place} ${f.code}`);
    expect(faults.sort()).toEqual(
      [
        'tasks[0].after[0] workflow.task_unknown',
        'tasks[0].input.x workflow.param_unknown',
        'tasks[0].input.y[0] workflow.task_unknown',
        'tasks[0].input.z workflow.reference_malformed',
        'tasks[0].when workflow.condition_refused',
        'tasks[1].name workflow.name_duplicate',
        'tasks[1].when workflow.condition_malformed',
        'tasks[2] workflow.cycle',
        'tasks[3].when workflow.condition_refused',
        'tasks[4] workflow.cycle',
        'params.need workflow.param_missing',
        'params.num workflow.param_type',
        'params.extra workflow.param_undeclared',
      ].sort(),
    );
  });

  it('is idempotent by id, and refuses the id for another request', () => {
    const d = definition([task('a')]);
    const s = new Story(d);
    const again = (version: number) =>
      s.when({
        type: 'start',
        request: { workflowId: 'w1', definition: { ...d, version }, params: {}, subject: 's' },
        tenant: 't',
        at: iso(5),
      });
    expect(again(1)).toEqual([]);
    expect(again(2)).toBe('workflow.id_reused');
  });

  it('shows the whole graph, with what has not begun', () => {
    const s = new Story(definition([task('a', { deadlineMs: 100 }), task('b', { after: ['a'] }), task('c')]));
    const view = viewOf(s.state)!;
    expect(view.tasks.map((t) => [t.name, t.state])).toEqual([
      ['a', 'dispatched'],
      ['b', 'waiting'],
      ['c', 'dispatched'],
    ]);
    expect(view.criticalPath).toEqual({ by: 'deadline', tasks: ['a', 'b'], ms: 1100 });
  });
});
