import { createHash, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { FLEET_TENANT, provisioningTasks as tasks, volumeFile, type OutputOf, type Trace } from '@chrysalis/contracts';
import { Harness, image, spec } from '../test/harness.ts';

let h: Harness;
beforeAll(async () => {
  h = await Harness.start();
  await h.http('POST', '/v1/vm-types', { name: 'small', spec });
  await h.http('POST', '/v1/images', { image });
}, 60_000);
afterAll(() => h?.stop());

const trace = (over: Partial<Trace>): Trace => ({ kind: 'process', id: over.vmId ?? 'x', bytes: 7, print: '1', ...over });
/** As the hypervisor names it. */
const tapOf = (vmId: string, nic: string): string => `chyt${createHash('sha256').update(`${vmId} ${nic}`).digest('hex').slice(0, 10)}`;
type Looked = { hostId?: string; traces?: Trace[]; vms?: string[]; pools?: object[]; minAgeMs?: number };
const asked = (looked: Looked, tenant?: string) =>
  h.run(
    `op-${randomUUID()}`,
    'vm.judge-traces',
    { hostId: 'a', traces: [], vms: [], pools: [], more: false, minAgeMs: 0, ...looked },
    tenant,
  );
const judged = async (looked: Looked): Promise<OutputOf<typeof tasks.judgeTraces>> => {
  const outcome = await asked(looked, FLEET_TENANT);
  if (!outcome.ok) throw new Error(JSON.stringify(outcome.cause));
  return tasks.judgeTraces.output.parse(outcome.output);
};
const verdicts = async (looked: Looked) => (await judged(looked)).findings.map((f) => `${f.of ?? f.id} ${f.verdict}`);

test('by the streams: here, on another host, deleted, under way, never heard of', async () => {
  const here = await h.runningVm('here');
  const { vmId: coming } = (await h.http('POST', '/v1/vms', { name: 'coming', type: 'small', image: 'linux@1' })).body;
  const gone = await h.runningVm('gone');
  const { operation } = (await h.http('DELETE', `/v1/vms/${gone.id}`)).body;
  const traces = [here.id, coming, gone.id, 'vm-stranger'].map((vmId) => trace({ vmId }));
  expect(await verdicts({ traces, vms: [here.id] })).toEqual([`${coming} busy`, `${gone.id} busy`, 'vm-stranger unknown']);
  await h.run(operation, 'vm.record-deleted', { vmId: gone.id });
  const report = await judged({ traces, vms: [here.id] });
  expect(report).toMatchObject({ checked: 4, expected: 1, others: [] });
  expect(report.vms).toEqual([{ vmId: gone.id, epoch: 1, traces: [traces[2]] }]);
  // On another host than the one that it is on: what a move left.
  expect(await verdicts({ hostId: 'b', traces: [traces[0]!], vms: [] })).toEqual([`${here.id} orphan`]);
  // The agent does not know one that is to be there; of what changed a moment ago that may be so.
  expect(await verdicts({ traces: [], vms: [] })).toEqual([`${here.id} missing`]);
  expect(await verdicts({ traces: [], vms: [], minAgeMs: 600_000 })).toEqual([]);
});

test('a tap is known by its name alone, and a segment by its number', async () => {
  const { networkId } = await h.network('10.31.0.0/24');
  const vm = await h.runningVm('tapped', [{ network: networkId }]);
  const { vni } = vm.nics.find((n) => n.segment)!.segment!;
  const [mine, other] = [tapOf(vm.id, networkId), 'chyt0000000bad'];
  const nics = [mine, other].map((id) => trace({ kind: 'nic', id }));
  const segments = [vni, vni + 1].map((n) => trace({ kind: 'segment', id: `${n}`, vni: n }));
  const all = { traces: [...nics, ...segments] };
  expect((await judged(all)).findings.filter((f) => f.verdict !== 'missing').map((f) => `${f.id} ${f.verdict}`)).toEqual([
    `${other} unknown`,
    `${vni + 1} unknown`,
  ]);
  const elsewhere = await judged({ ...all, hostId: 'b' });
  expect(elsewhere.vms).toEqual([{ vmId: vm.id, epoch: 1, traces: [{ ...nics[0], vmId: vm.id }] }]);
  expect(elsewhere.others).toEqual([{ of: `segment-${vni}`, traces: [segments[0]] }]);
});

test('a volume: in its pool, in another of that name, deleted; one whose file is not there is missing', async () => {
  const { volumeId, pool } = await h.volume();
  const file = (over: Partial<Trace> = {}) => trace({ kind: 'disk', id: `shared/${volumeFile(volumeId)}`, volumeId, pool, shared: true, ...over }); // prettier-ignore
  expect(await verdicts({ hostId: 'z', traces: [file()] })).toEqual([]);
  expect(await verdicts({ hostId: 'z', traces: [file({ pool: 'other' })] })).toEqual([`${volumeId} unknown`]);
  const { operation } = (await h.http<{ operation: string }>('DELETE', `/v1/volumes/${volumeId}`)).body;
  expect(await verdicts({ hostId: 'z', traces: [file()] })).toEqual([`${volumeId} busy`]);
  await h.run(operation, 'volume.record-deleted', { volumeId });
  const report = await judged({ hostId: 'z', traces: [file(), file({ busy: 'made 3 s ago' })] });
  expect(report.others).toEqual([{ of: volumeId, traces: [file()] }]);
  expect(report.findings.map((f) => f.verdict)).toEqual(['orphan', 'busy']);
});

test('no tenant is told', async () => {
  expect(await asked({}, 'main')).toMatchObject({ ok: false, cause: { code: 'auth.denied' } });
});
