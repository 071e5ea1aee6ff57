import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { eventsTopic, tasksTopic } from '@chrysalis/contracts';
import { toCloudEvent } from '@chrysalis/messaging';
import { step, workflow } from './test/definitions.ts';
import { ended, World } from './test/world.ts';

/** Two branches of three, the second tasks undoable. */
const diamond = () =>
  workflow([
    step('a', 'alpha', { undo: true }),
    step('left', 'beta', { undo: true, after: ['a'] }),
    step('right', 'alpha', { undo: true, after: ['a'] }),
    step('join', 'beta', { after: ['left', 'right'] }),
  ]);

describe('the workflow service, when things go wrong', () => {
  let world: World;
  let directory: string;
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'failpoints-'));
    world = await World.open();
    await world.startExecutors();
  });
  afterEach(async () => {
    delete process.env['CHRYSALIS_FAILPOINTS'];
    rmSync(directory, { recursive: true });
    await world.close();
  });
  const failpoints = (rules: object): void => {
    const file = join(directory, 'rules.json');
    writeFileSync(file, JSON.stringify(rules));
    process.env['CHRYSALIS_FAILPOINTS'] = file;
  };

  it('goes on from the log after it ended between append and anything else', async () => {
    const first = await world.startWorkflow();
    world.behaviour = async (_, { dispatch }) => {
      if (dispatch.task === 'left') await world.stop(first).catch(() => undefined);
      return { ok: true, output: {} };
    };
    const id = await world.ask(diamond());
    while (world.running.includes(first)) await new Promise((r) => setTimeout(r, 10));
    await world.startWorkflow();
    expect((await world.until(id, ended)).state).toBe('succeeded');
    expect(world.executed.filter((e) => e.startsWith('run')).sort()).toEqual(['run a 1', 'run join 1', 'run left 1', 'run right 1']);
  });

  it('loses nothing when a commit fails between the append and its timers, or a decision before it', async () => {
    // the first decision fails for all that are together, the one after it stands alone and fails behind its append
    failpoints({ 'workflow:appended': { action: 'fail', times: 1 }, 'workflow:decided': { action: 'fail', times: 1 } });
    await world.startWorkflow();
    const id = await world.ask(diamond());
    const view = await world.until(id, ended);
    expect(view.state).toBe('succeeded');
    const { rows } = await world.workflow.service.pool.query(`select version from workflow.events where stream_id = $1 order by version`, [
      `workflow-${id}`,
    ]);
    expect(rows.map((r) => r.version as number)).toEqual(rows.map((_, i) => i + 1));
  });

  it('takes requests and reports that come again, in any order, as once', async () => {
    const service = await world.startWorkflow();
    const id = await world.ask(diamond());
    const view = await world.until(id, ended);
    const { bus } = service.service;
    for (const other of world.running.filter((s) => s.context !== 'workflow')) {
      const events = (await other.service.store.readAll({ transactionId: '0', position: '0' }, 100)).reverse();
      const messages = events.map((e) => ({
        topic: eventsTopic(other.context as 'provisioning'),
        event: toCloudEvent(e, { context: other.context }),
      }));
      await bus.publish([...messages, ...messages]);
    }
    await world.until(await world.ask(workflow([step('after', 'alpha')])), ended);
    const again = await world.until(id, ended);
    expect(again.streamVersion).toBe(view.streamVersion);
    expect(world.executed.filter((e) => e.endsWith('after 1'))).toHaveLength(1);
  });

  it('does what executors are told twice only once', async () => {
    const service = await world.startWorkflow();
    const id = await world.ask(diamond());
    await world.until(id, ended);
    const dispatched = (await service.service.store.read(`workflow-${id}`)).filter((e) => e.type.includes('dispatched'));
    await service.service.bus.publish(
      dispatched.map((e) => ({ topic: tasksTopic('provisioning'), event: toCloudEvent(e, { context: 'workflow' }) })),
    );
    await world.until(await world.ask(workflow([step('after', 'alpha')])), ended);
    expect(world.executed.filter((e) => e === 'run a 1')).toHaveLength(1);
  });

  it('keeps timers across a restart, and fires what came due meanwhile', async () => {
    const first = await world.startWorkflow();
    let wake = (): void => undefined;
    const asleep = new Promise<void>((resolve) => (wake = resolve));
    world.behaviour = async (_, { dispatch }) => {
      if (dispatch.task === 'deaf' && dispatch.action === 'run') await asleep;
      return { ok: true, output: {} };
    };
    const deaf = step('deaf', 'beta', { undo: true, after: ['a'], deadlineMs: 400, retry: { attempts: 1, backoffMs: 0 } });
    // the executor that never answers holds its partition: its undo goes to the other one
    deaf.compensation!.route = { mode: 'group', group: 'provisioning' };
    deaf.compensation!.kind = 'alpha.undo';
    const id = await world.ask(workflow([step('a', 'alpha', { undo: true }), deaf]));
    await world.until(id, (v) => v.tasks[1]!.state === 'dispatched');
    await world.stop(first);
    await new Promise((resolve) => setTimeout(resolve, 500));
    await world.startWorkflow();
    expect(await world.until(id, ended)).toMatchObject({ state: 'undone', cause: { code: 'workflow.deadline_passed' } });
    const { rows } = await world.workflow.service.pool.query('select 1 from workflow.timers');
    expect(rows).toEqual([]);
    wake();
  });

  it('runs as two instances, each workflow once', async () => {
    const [one, two] = [await world.startWorkflow(), await world.startWorkflow()];
    world.behaviour = async (_, { dispatch }) => {
      if (dispatch.task === 'right' && dispatch.attempt === 1 && dispatch.action === 'run')
        return { ok: false, cause: { code: 'x.busy', message: 'busy', retriable: true } };
      return { ok: true, output: {} };
    };
    const retried = diamond();
    retried.tasks[2]!.retry = { attempts: 2, backoffMs: 30 };
    const ids = await Promise.all(Array.from({ length: 20 }, () => world.ask(retried)));
    for (const id of ids) expect(await world.until(id, ended)).toMatchObject({ state: 'succeeded' });
    expect(world.executed).toHaveLength(20 * 5);
    for (const service of [one, two])
      for (const id of ids) expect((await world.get(`/v1/workflows/${id}`, service)).body).toMatchObject({ state: 'succeeded' });
  });

  it('parks what it cannot read, and goes on with what comes after', async () => {
    const service = await world.startWorkflow();
    const asking = world.running.find((s) => s.context === 'provisioning')!;
    const bad = { id: crypto.randomUUID(), type: 'chrysalis.provisioning.task.reported.v1', data: { workflowId: 'w', nonsense: true } };
    const meta = { at: new Date().toISOString(), correlationId: 'c', actor: 'user:x', tenant: 'acme' };
    await asking.service.store.append({ stream: 'task-w', expected: 'any', events: [{ ...bad, meta }] });
    await world.until(await world.ask(diamond()), ended);
    const { rows } = await service.service.pool.query<{ event_id: string }>('select event_id from workflow.parked');
    expect(rows.map((r) => r.event_id)).toEqual([bad.id]);
  });
});
