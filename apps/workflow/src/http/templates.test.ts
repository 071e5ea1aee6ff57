import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { step, workflow } from '../test/definitions.ts';
import { World, type Answered } from '../test/world.ts';

let world: World;
let admin: string;
beforeAll(async () => {
  world = await World.open();
  await world.startWorkflow();
  admin = await world.tokenFor('fleet', 'acme');
});
afterAll(() => world.close());

const template = (name: string, more: Parameters<typeof workflow>[1] = {}) => {
  const { version: _, ...rest } = workflow([step('a', 'alpha')], { name, ...more });
  return rest;
};
const publish = (definition: unknown): Promise<Answered> => world.post('/v1/workflow-templates', { definition }, { token: admin });
const faultsOf = (answer: Answered): string[] =>
  (answer.body['faults'] as { code: string; place: string }[]).map((f) => `${f.code} ${f.place}`);

describe('the registry of workflow templates over HTTP', () => {
  it('gives versions, and the same version for the same content', async () => {
    expect(await publish(template('audit'))).toMatchObject({ status: 201, body: { name: 'audit', version: 1, ref: 'audit@1' } });
    expect((await publish(template('audit', { summary: 'better' }))).body).toMatchObject({ version: 2 });
    expect((await publish(template('audit'))).body).toMatchObject({ version: 1 });
    const newest = await world.get('/v1/workflow-templates/audit');
    expect(newest.body).toMatchObject({ version: 2, versions: [1, 2], retired: false, definition: { summary: 'better', version: 2 } });
    expect((await world.get('/v1/workflow-templates/audit/1')).body).toMatchObject({ ref: 'audit@1', definition: { summary: 'a test' } });
    const list = await world.get<{ items: object[] }>('/v1/workflow-templates');
    expect(list.body.items).toContainEqual(expect.objectContaining({ ref: 'audit@2', tasks: 1, summary: 'better', params: {} }));
  });

  it('gives 20 who publish one name at once a version each, in turn', async () => {
    const published = await Promise.all(Array.from({ length: 20 }, (_, i) => publish(template('wanted', { summary: `the ${i + 1}th` }))));
    expect(published.map((a) => a.status)).toEqual(Array.from({ length: 20 }, () => 201));
    const versions = published.map((a) => a.body['version'] as number);
    expect(versions.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
  });

  it('warns of a task that nobody takes, and says which kinds there are', async () => {
    const lost = { ...template('lost'), tasks: [{ ...step('a', 'alpha'), kind: 'no.such-kind' }] };
    const warned = { warnings: [{ code: 'workflow.kind_untaken', place: 'tasks[0].kind', message: expect.stringMatching(/no\.such-kind; it takes .*vm\.begin-move/) }] }; // prettier-ignore
    expect(await world.post('/v1/workflow-templates/validate', { definition: lost })).toMatchObject({ status: 200, body: warned });
    expect(await publish(lost)).toMatchObject({ status: 201, body: { ref: 'lost@1', ...warned } });
    expect((await world.get('/v1/workflow-templates/ghost')).body['detail']).toMatch(
      /^there is no workflow template ghost; there are .*audit@2/,
    );
  });

  it('publishes at the same time as others: each content once', async () => {
    const answers = await Promise.all([1, 2, 3, 1, 2, 3].map((n) => publish(template('race', { summary: `content ${n}` }))));
    expect(answers.map((a) => a.status)).toEqual([201, 201, 201, 201, 201, 201]);
    const versions = answers.map((a) => a.body['version']);
    expect(versions.slice(0, 3)).toEqual(versions.slice(3));
    expect([...new Set(versions)].sort()).toEqual([1, 2, 3]);
  });

  it('tries without keeping, and tells every fault with its place', async () => {
    const faulty = { ...template('never'), tasks: [step('a', 'alpha', { after: ['ghost'], input: { x: '${params.none}' } })], parallel: 3 };
    const tried = await world.post('/v1/workflow-templates/validate', { definition: faulty });
    expect(tried).toMatchObject({ status: 422, body: { code: 'workflow.template_invalid' } });
    expect(faultsOf(tried).sort()).toEqual([
      'workflow.param_unknown tasks[0].input.x',
      'workflow.shape_invalid parallel',
      'workflow.task_unknown tasks[0].after[0]',
    ]);
    expect(await world.post('/v1/workflow-templates/validate', { definition: template('never') })).toMatchObject({
      status: 200,
      body: { valid: true },
    });
    expect(await world.get('/v1/workflow-templates/never')).toMatchObject({ status: 404, body: { code: 'workflow.template_unknown' } });
  });

  it('publishes its JSON Schema, which takes what it takes', async () => {
    const { body } = await world.get('/v1/workflow-templates/schema');
    const validate = new Ajv2020({ strict: false }).compile(body);
    expect(validate(template('x'))).toBe(true);
    expect(validate({ ...template('x'), parallel: 3 })).toBe(false);
  });

  it('retires a name: no new version; twice is as once', async () => {
    await publish(template('old'));
    for (let i = 0; i < 2; i++)
      expect(await world.send('DELETE', '/v1/workflow-templates/old', {}, { token: admin })).toMatchObject({
        status: 200,
        body: { retired: true },
      });
    expect(await publish(template('old'))).toMatchObject({ status: 409, body: { code: 'workflow.template_retired' } });
    expect((await world.get('/v1/workflow-templates/old/1')).body).toMatchObject({ retired: true });
    expect(await world.send('DELETE', '/v1/workflow-templates/ghost', {}, { token: admin })).toMatchObject({
      status: 404,
      body: { code: 'workflow.template_unknown' },
    });
  });

  it('is an administrator’s to change, and no instance of a workflow', async () => {
    expect(await world.post('/v1/workflow-templates', { definition: template('mine') })).toMatchObject({ status: 403 });
    expect(await world.send('DELETE', '/v1/workflow-templates/audit', {})).toMatchObject({ status: 403 });
    for (const path of ['template-audit', 'template-audit/history', 'template-audit?asOf=1'])
      expect(await world.get(`/v1/workflows/${path}`)).toMatchObject({ status: 404, body: { code: 'workflow.unknown' } });
  });
});

describe('bad input: an answer with a stable code, in bounded time', () => {
  const many = (n: number) => ({
    ...template('many'),
    tasks: Array.from({ length: n }, (_, i) => step(`t${i}`, 'alpha', { summary: '' })),
  });
  const hostile = (when: string, n = 1) => ({
    ...template('hostile'),
    params: { x: { type: 'string' } },
    tasks: Array.from({ length: n }, (_, i) => step(`t${i}`, 'alpha', { when })),
  });
  const longest = `params.x == "${'a'.repeat(1_000)}"`;
  it.each<[string, () => unknown, number, string]>([
    ['10,000 tasks', () => many(10_000), 413, 'request.too_large'],
    ['10,001 tasks', () => ({ ...template('many'), tasks: Array.from({ length: 10_001 }, () => 1) }), 422, 'workflow.template_invalid'],
    ['6,000 tasks', () => many(6_000), 201, ''],
    ['a text of 1 MiB', () => template('text', { summary: 'x'.repeat(1 << 20) }), 413, 'request.too_large'],
    ['a text that just fits the wire', () => template('text', { summary: 'x'.repeat(1_000_000) }), 422, 'workflow.template_invalid'],
    ['a text too large for a message', () => template('text', { output: { x: 'x'.repeat(900_000) } }), 422, 'workflow.template_invalid'],
    ['600 conditions of the greatest length', () => hostile(longest, 600), 201, ''],
    ['a condition that nests', () => hostile(`${'('.repeat(500)}true${')'.repeat(500)}`), 422, 'workflow.template_invalid'],
    ['a regular expression', () => hostile('params.x.matches("(a+)+$")'), 422, 'workflow.template_invalid'],
    ['macros in macros', () => hostile('[1].all(a, [1].all(b, [1].all(c, true)))'), 422, 'workflow.template_invalid'],
    ['a thousand operators', () => hostile('true' + '&&true'.repeat(170), 500), 201, ''],
    ['no definition', () => undefined, 422, 'request.invalid'],
    ['a list', () => [], 422, 'workflow.template_invalid'],
  ])('%s', async (_, make, status, code) => {
    const definition = make();
    const before = process.cpuUsage();
    const answer = await publish(definition);
    expect(process.cpuUsage(before).user).toBeLessThan(10_000_000);
    expect([answer.status, answer.body['code'] ?? '']).toEqual([status, code]);
  });

  it.each([
    ['1 MiB of nesting', `{"definition":${'['.repeat(500_000)}${']'.repeat(500_000)}}`, 422, 'request.too_deep'],
    ['what no JSON is', '{"definition":', 400, 'request.malformed'],
    ['a prototype', '{"definition":{"__proto__":{}}}', 400, 'request.malformed'],
  ])('%s', async (_, text, status, code) => {
    const answer = await world.post('/v1/workflow-templates', undefined, { token: admin, text });
    expect([answer.status, answer.body['code']]).toEqual([status, code]);
  });

  it.each(['/v1/workflow-templates/audit/0', '/v1/workflow-templates/audit/99999999999999', '/v1/workflow-templates/audit/x'])(
    '%s is unknown',
    async (path) => expect(await world.get(path)).toMatchObject({ status: 404, body: { code: 'workflow.template_unknown' } }),
  );
});
