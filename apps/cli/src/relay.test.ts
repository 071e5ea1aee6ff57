import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { until } from '@chrysalis/testing';
import { projected, startPlane, type Plane } from '../../admin-api/src/test/plane.ts';
import { everyEventOnTheBus } from '../../../tools/verifier/verify.ts';
import { environmentOf, run, type Ran } from './test/run.ts';

let plane: Plane;
const chrysalis = async (args: string, role: 'admin' | 'operator' = 'admin'): Promise<Ran> =>
  run(args.split(' '), { env: environmentOf(plane.url, await plane.token([role, 'fleet'])) });

beforeAll(async () => {
  process.env['CHRYSALIS_LOG'] = 'silent';
  plane = await startPlane();
  await projected(plane);
});
afterAll(() => plane?.stop());

/** What the verifier finds, by means of its own. */
const lostEvents = async (): Promise<readonly string[]> => {
  const db = await plane.services.get('projector')!.service.pool.connect();
  try {
    return await everyEventOnTheBus(db);
  } finally {
    db.release();
  }
};

type Audit = { context: string; state: string; result: { judged: number; missing: number; filled: number } };
const audit = async (args = ''): Promise<Ran & { items: Audit[] }> => {
  const ran = await chrysalis(`relay audit ${args} -o json`.replaceAll(/ +/g, ' '));
  return { ...ran, items: JSON.parse(ran.stdout) as Audit[] };
};

test('an audit finds what the bus lacks, says what to do, and fills it', async () => {
  const { pool } = plane.services.get('provisioning')!.service;
  const { rows } = await pool.query<{ n: number }>('select count(*)::int as n from provisioning.events');
  await until(async () => {
    const { items } = await audit('--service provisioning');
    return items[0]?.result.judged === rows[0]!.n;
  });
  expect(await chrysalis('relay audit')).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/service +state +events +missing[^]*provisioning +ended +\d+ +0 +0 +0/i),
    stderr: '',
  });

  const gone = await pool.query(`delete from bus.messages where topic = 'chrysalis.provisioning.events' and message_offset = 0`);
  const lost = gone.rowCount!;
  expect(lost).toBeGreaterThan(0);
  const found = await chrysalis('relay audit --service provisioning');
  expect(await lostEvents()).toHaveLength(lost);
  expect(found).toMatchObject({ code: 1, stderr: expect.stringContaining('next: chrysalis relay audit --fill') });
  expect(found.stdout).toMatch(/provisioning: \S+@1 chrysalis\.provisioning\.\S+ not on chrysalis\.provisioning\.events/);
  expect(await audit('--service provisioning --fill')).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('read models'),
    items: [{ context: 'provisioning', state: 'ended', result: { missing: lost, filled: lost } }],
  });
  expect(await lostEvents()).toEqual([]);
  expect((await audit()).items.map(({ context, state, result }) => `${context} ${state} ${result.missing}`)).toEqual(
    expect.arrayContaining(['provisioning ended 0', 'workflow ended 0']),
  );
});

test('a service that is not there, and one who may not ask', async () => {
  expect(await chrysalis('relay audit --service nonsense')).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/nonsense; there are .*workflow/),
  });
  expect(await chrysalis('relay audit', 'operator')).toMatchObject({ code: 7, stderr: expect.stringMatching(/needs: admin/) });
});
