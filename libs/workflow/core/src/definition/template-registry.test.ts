import { describe, expect, it } from '@jest/globals';
import { workflowTemplateSchema, type WorkflowTemplate } from '@chrysalis/contracts';
import { given } from '@chrysalis/testing';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { judgeTemplate, MAX_TEMPLATE } from './judge-template.ts';
import { templateRegistry, templateVersion } from './template-registry.ts';

const task = {
  name: 'a',
  kind: 'host.check',
  summary: 'look',
  input: {},
  deadlineMs: 1_000,
  route: { mode: 'group', group: 'workflow' },
} as const;
const template = (more: object = {}): WorkflowTemplate =>
  ({ name: 'audit', summary: 's', params: {}, tasks: [task], deadlineMs: 60_000, ...more }) as WorkflowTemplate;
const digest = (n: number): string => `sha256:${String(n).repeat(64)}`;
const published = (version: number, n: number) =>
  ({
    type: 'chrysalis.workflow.template.published.v1',
    data: { name: 'audit', version, digest: digest(n), definition: { ...template(), version } },
  }) as const;
const retired = { type: 'chrysalis.workflow.template.retired.v1', data: { name: 'audit' } } as const;

describe('the registry', () => {
  it('gives the first content version 1, other content the next', () => {
    given(templateRegistry)
      .when({ type: 'publish', template: template(), digest: digest(1) })
      .then([published(1, 1)]);
    given(templateRegistry, [published(1, 1)])
      .when({ type: 'publish', template: template(), digest: digest(2) })
      .then([published(2, 2)]);
  });
  it('says nothing new for content that it has, also an older one', () => {
    const has = given(templateRegistry, [published(1, 1), published(2, 2)]);
    has.when({ type: 'publish', template: template(), digest: digest(1) }).thenNothing();
    expect(templateVersion(has.state(), digest(1))).toBe(1);
  });
  it('takes nothing for a retired name; retiring twice is as once; an unknown name is refused', () => {
    given(templateRegistry, [published(1, 1)])
      .when({ type: 'retire', name: 'audit' })
      .then([retired]);
    given(templateRegistry, [published(1, 1), retired])
      .when({ type: 'retire', name: 'audit' })
      .thenNothing();
    given(templateRegistry, [published(1, 1), retired])
      .when({ type: 'publish', template: template(), digest: digest(1) })
      .thenRejected('workflow.template_retired', { name: 'audit' });
    given(templateRegistry).when({ type: 'retire', name: 'audit' }).thenRejected('workflow.template_unknown', { name: 'audit' });
  });
});

describe('judging', () => {
  const placesOf = (value: unknown): string[] => {
    const judged = judgeTemplate(value);
    return judged.ok ? [] : judged.faults.map((f) => `${f.code} ${f.place}`);
  };

  it('tells every fault at once, each with its place', () => {
    const tasks = [
      { ...task, after: ['ghost'], input: { x: '${params.none}' }, when: 'params.' },
      { ...task, name: 'b', after: ['c'] },
      { ...task, name: 'c', after: ['b'] },
    ];
    expect(placesOf(template({ tasks }))).toEqual(
      expect.arrayContaining([
        'workflow.task_unknown tasks[0].after[0]',
        'workflow.param_unknown tasks[0].input.x',
        'workflow.condition_malformed tasks[0].when',
        'workflow.cycle tasks[1]',
      ]),
    );
  });
  it('refuses members that nobody knows, wherever the shape is closed, and only there', () => {
    const stray = template({ version: 7, tasks: [{ ...task, dependsOn: ['b'], input: { anything: { goes: 1 } } }] });
    expect(placesOf(stray)).toEqual(['workflow.shape_invalid tasks[0].dependsOn', 'workflow.shape_invalid version']);
  });
  it.each([
    ['nothing', undefined],
    ['null', null],
    ['a text', 'x'],
    ['a list', []],
    ['a number for a name', template({ name: 7 })],
    ['the name of a route', template({ name: 'schema' })],
    ['1 MiB of text', template({ tasks: [{ ...task, input: { x: 'x'.repeat(1 << 20) } }] })],
    ['1 MiB of nesting', template({ tasks: [{ ...task, input: { x: JSON.parse('['.repeat(200_000) + ']'.repeat(200_000)) } }] })],
    ['10,001 tasks', template({ tasks: Array.from({ length: 10_001 }, (_, i) => ({ ...task, name: `t${i}` })) })],
    ['__proto__', JSON.parse('{"__proto__":{"name":"x"}}')],
  ])('refuses %s', (_, value) => expect(placesOf(value)).not.toEqual([]));
  it('tells a thousand faults at most, and that there are more', () => {
    const judged = judgeTemplate(template({ tasks: Array.from({ length: 5_000 }, () => ({ ...task, input: { x: '${oops}' } })) }));
    expect(judged.ok ? 0 : judged.faults.length).toBe(1_001);
    expect(judged.ok ? '' : judged.faults.at(-1)!.message).toMatch(/^and \d+ more faults$/);
  });
  it('takes as many tasks as fit the size', () => {
    const tasks = Array.from({ length: 6_000 }, (_, i) => ({ ...task, name: `t${i}`, summary: '' }));
    expect(judgeTemplate(template({ tasks }))).toMatchObject({ ok: true });
    expect(JSON.stringify(tasks).length).toBeLessThan(MAX_TEMPLATE);
  });
});

describe('the published JSON Schema, by a validator that is not ours', () => {
  const validate = new Ajv2020({ strict: false, allErrors: true, validateFormats: false }).compile(workflowTemplateSchema());
  const good: [string, unknown][] = [
    ['the least', template()],
    [
      'an input of anything',
      template({ tasks: [{ ...task, input: { a: [1, { b: null }], c: '${params.x}' } }], params: { x: { type: 'object' } } }),
    ],
    [
      'a bid',
      template({
        tasks: [{ ...task, route: { mode: 'bid', group: 'agent-gateway', windowMs: 100, award: 'spread', beginWithinMs: 100, offers: 3 } }],
      }),
    ],
    ['a loop', template({ params: { vms: { type: 'array' } }, tasks: [{ ...task, forEach: { items: '${params.vms}', concurrency: 5 } }] })],
    [
      'everything optional',
      template({
        params: { x: { type: 'string', required: false } },
        output: { x: '${params.x}' },
        tasks: [
          {
            ...task,
            section: 'verify',
            after: [],
            when: 'params.x == "y"',
            retry: { attempts: 3, backoffMs: 10, maxBackoffMs: 100, codes: ['a.b'] },
            pointOfNoReturn: true,
            compensation: { kind: 'host.undo', input: {}, deadlineMs: 10, route: task.route },
          },
        ],
      }),
    ],
  ];
  const bad: [string, unknown][] = [
    ['no object', 7],
    ['no name', template({ name: undefined })],
    ['a name with capitals', template({ name: 'Audit' })],
    ['a version', template({ version: 1 })],
    ['an unknown member', template({ parallel: true })],
    ['no tasks', template({ tasks: [] })],
    ['a deadline of 0', template({ deadlineMs: 0 })],
    ['a broken deadline', template({ deadlineMs: 1.5 })],
    ['a deadline too long', template({ deadlineMs: 604_800_001 })],
    ['a param without a type', template({ params: { x: {} } })],
    ['a kind of one word', template({ tasks: [{ ...task, kind: 'check' }] })],
    ['a route to nowhere', template({ tasks: [{ ...task, route: { mode: 'group', group: 'nowhere' } }] })],
    ['a route with a stray member', template({ tasks: [{ ...task, route: { ...task.route, near: 'x' } }] })],
    ['21 attempts', template({ tasks: [{ ...task, retry: { attempts: 21, backoffMs: 1 } }] })],
    ['a stray member of a task', template({ tasks: [{ ...task, dependsOn: [] }] })],
    ['a summary too long', template({ summary: 'x'.repeat(256) })],
  ];
  it.each(good)('both take %s', (_, value) => {
    const asJson = JSON.parse(JSON.stringify(value)) as unknown;
    expect([validate(asJson), validate.errors ?? []]).toEqual([true, []]);
    const judged = judgeTemplate(asJson);
    expect(judged.ok ? [] : judged.faults.filter((f) => f.code === 'workflow.shape_invalid')).toEqual([]);
  });
  it.each(bad)('both refuse %s', (_, value) => {
    const asJson = JSON.parse(JSON.stringify(value)) as unknown;
    expect(validate(asJson)).toBe(false);
    const judged = judgeTemplate(asJson);
    expect(judged.ok ? [] : judged.faults.map((f) => f.code)).toContain('workflow.shape_invalid');
  });
});
