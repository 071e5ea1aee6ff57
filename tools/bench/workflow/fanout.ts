// One process with a simulated host of many VMs and the workflow engine: what `forEach` adds to the operations themselves.
import { readFileSync, writeFileSync } from 'node:fs';
import type { VmTypeSpec, WorkflowDefinition } from '@chrysalis/contracts';
import { SimulatedDriver } from '@chrysalis/hypervisor';
import pLimit from 'p-limit';
import { serveAsChild, type Served } from './child.ts';
import { openEngine, type BenchEngine } from './engine.ts';
import { limit, type Fanout, type FanoutAsk } from './fanout-ask.ts';

const spec: VmTypeSpec = {
  vcpus: { now: 1, max: 4 },
  memoryMiB: { now: 512, max: 2048 },
  disks: [{ id: 'root', sizeMiB: 1024 }],
  nics: [],
  cpuModel: 'qemu64',
  requiredTraits: [],
};

const definition: WorkflowDefinition = {
  name: 'grow-disks',
  version: 1,
  summary: 'Grows a disk of each VM',
  params: { vms: { type: 'array', required: true }, sizeMiB: { type: 'number', required: true } },
  tasks: [
    {
      name: 'grow',
      kind: 'bench.grow-disk',
      summary: 'Grow the disk of a VM',
      input: { vmId: '${item}', sizeMiB: '${params.sizeMiB}' },
      forEach: { items: '${params.vms}', concurrency: limit },
      deadlineMs: 60_000,
      route: { mode: 'group', group: 'workflow' },
    },
  ],
  deadlineMs: 3_600_000,
  output: { count: '${tasks.grow.output.count}' },
};

const boot = async (driver: SimulatedDriver, count: number): Promise<readonly string[]> => {
  const { cpuModels, storagePools } = await driver.facts();
  const vmIds = Array.from({ length: count }, (_, i) => `vm-${i}`);
  const image = { name: 'bench', version: '1' } as never;
  await inParallel(vmIds, async (vmId) => {
    const uuid = crypto.randomUUID();
    await driver.boot({ vmId, uuid, spec: { ...spec, cpuModel: cpuModels[0]! }, image, nics: [], pool: storagePools[0]! });
  });
  return vmIds;
};

/** At most `limit` at a time, as the workflow has it. */
const inParallel = <T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<unknown[]> => pLimit(limit).map(items, work);

const residentMiB = (what: 'VmRSS' | 'VmHWM'): number =>
  Number(new RegExp(`^${what}:\\s+(\\d+) kB`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))![1]) / 1024;

const measure = async (engine: BenchEngine, driver: SimulatedDriver, vms: readonly string[], sizeMiB: number): Promise<Fanout> => {
  const began = performance.now();
  await inParallel(vms, (vmId) => driver.resizeDisk(vmId, 'root', sizeMiB));
  const bareMs = performance.now() - began;
  writeFileSync('/proc/self/clear_refs', '5'); // the peak is counted from here
  const cpu = process.cpuUsage();
  const started = performance.now();
  const workflowId = await engine.run(definition, { vms, sizeMiB: sizeMiB + 1 });
  const workflowMs = performance.now() - started;
  const { user, system } = process.cpuUsage(cpu);
  await assertDone(engine, driver, workflowId, vms, sizeMiB + 1);
  return { bareMs, workflowMs, peakMiB: residentMiB('VmHWM'), cpuSeconds: (user + system) / 1e6 };
};

const assertDone = async (
  engine: BenchEngine,
  driver: SimulatedDriver,
  id: string,
  vms: readonly string[],
  sizeMiB: number,
): Promise<void> => {
  const { rows } = await engine.store.pool.query<{ data: { state: string; output: { count: number } } }>(
    `select data from workflow.events where stream_id = $1 order by version desc limit 1`,
    [`workflow-${id}`],
  );
  const { state, output } = rows[0]!.data;
  if (state !== 'succeeded' || output.count !== vms.length)
    throw new Error(`the workflow ended ${state}: ${JSON.stringify(rows[0]!.data)}`);
  for (const vmId of vms) if ((await driver.topology(vmId)).topology.disks[0]!.sizeMiB !== sizeMiB) throw new Error(`${vmId} was left out`);
};

const open = async ({ databaseUrl, fleet }: Record<string, string>): Promise<Served> => {
  const driver = new SimulatedDriver({ host: 'bench', bootMs: 0, plugMs: 0 });
  const vmIds = await boot(driver, Number(fleet));
  const engine = await openEngine(databaseUrl!, {
    'bench.grow-disk': async ({ vmId, sizeMiB }) => {
      const { topologyHash } = await driver.resizeDisk(vmId as string, 'root', sizeMiB as number);
      return { ok: true, output: { topologyHash } };
    },
  });
  let size = 2_000;
  const answer = ({ vms }: FanoutAsk): Promise<Fanout> => measure(engine, driver, vmIds.slice(0, vms), (size += 2));
  return { ready: residentMiB('VmRSS'), answer, close: engine.close };
};

await serveAsChild(open);
