import { spawn } from 'node:child_process';
import { createConnection, type Socket } from 'node:net';
import { mkdirSync, rmSync } from 'node:fs';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { createHash, randomUUID } from 'node:crypto';
import type { Topology } from '@chrysalis/contracts';
import { defaultTuning } from '@chrysalis/migration-templates-core';
import { addAgent, commandLine, QgaClient, QmpClient, type AgentChannel } from '@chrysalis/hypervisor';
import type { Fabric, FabricHost } from '../../../infra/network/fabric.ts';
import { signGrant, type TenantKey } from '../../run/grant.ts';
import { journey } from '../../fleet/story.ts';

const exec = promisify(execFile);
const MiB = 1_048_576;
export type Figures = { readonly totalMs: number; readonly downtimeMs: number };
type Parts = {
  readonly fabric: Fabric;
  readonly dir: string;
  readonly topology: Topology;
  readonly image: { kernel: string; initrd: string };
  readonly agentPackage: { file: string; digest: string };
  readonly tenant: TenantKey;
};
type Running = { readonly qmp: QmpClient; readonly pid: number; readonly dir: string };

/**
 * What a good engineer's script would do by hand: the same hardware, the same steps, raw QMP one after another, no control plane,
 * no log, no fence on disk. Boot and adding the agent are not counted; they are the same for both contenders.
 */
export const bareMove = async (p: Parts, round: number): Promise<Figures> => {
  const vmId = `bare-${round}`;
  const dir = path.join(p.dir, vmId);
  mkdirSync(dir, { recursive: true });
  const [from, to] = p.fabric.hosts as [FabricHost, FabricHost];
  const t = { ...p.topology, uuid: randomUUID() };
  const disk = path.join(dir, 'data.qcow2');
  await exec('qemu-img', ['create', '-q', '-f', 'qcow2', disk, `${t.disks[0]!.sizeMiB}M`]);
  const started: Running[] = [];
  try {
    const source = await start(from, path.join(dir, 'source'), t, p, { disk, incoming: false });
    started.push(source);
    await source.qmp.execute('cont');
    const { channel, withAgent } = await agent(p, source, vmId, t, disk);
    return await move({ p, vmId, source, to, topology: withAgent, disk, channel, started });
  } finally {
    for (const { qmp, pid } of started) {
      qmp.close();
      kill(pid);
    }
    await sleep(50);
    rmSync(dir, { recursive: true, force: true });
  }
};

const kill = (pid: number): void => {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // quit by itself
  }
};
/** At most 15 characters, another for each VM, end and NIC. */
const tap = (dir: string, nic: string): string => `chyb${createHash('sha256').update(`${dir} ${nic}`).digest('hex').slice(0, 10)}`;

const start = async (host: FabricHost, dir: string, t: Topology, p: Parts, o: { disk: string; incoming: boolean }): Promise<Running> => {
  mkdirSync(dir, { recursive: true });
  const netns = ['ip', '-n', host.netns];
  for (const n of t.nics) {
    await exec(netns[0]!, [...netns.slice(1), 'tuntap', 'add', 'dev', tap(dir, n.id), 'mode', 'tap']);
    await exec(netns[0]!, [...netns.slice(1), 'link', 'set', tap(dir, n.id), 'master', host.bridge, 'up']);
  }
  const argv = commandLine(
    t,
    {
      name: 'bare',
      accelerator: 'tcg',
      kernel: p.image,
      volumePath: (_pool, volume) => (volume === 'package' ? p.agentPackage.file : o.disk),
      netdev: ({ id: nic }) => ({ type: 'tap', ifname: tap(dir, nic), script: 'no', downscript: 'no' }),
      socket: (name) => path.join(dir, `${name}.sock`),
      pidFile: path.join(dir, 'pid'),
    },
    { incoming: o.incoming },
  );
  const [command, ...args] = host.inside(['qemu-system-x86_64', ...argv]);
  const child = spawn(command!, args, { stdio: 'ignore', detached: true });
  child.unref();
  return { qmp: await QmpClient.connect(path.join(dir, 'qmp.sock')), pid: child.pid!, dir };
};

const open = async (file: string): Promise<Socket> => {
  for (let i = 0; ; i++) {
    try {
      return await new Promise<Socket>((resolve, reject) => {
        const s = createConnection(file);
        s.once('connect', () => resolve(s));
        s.once('error', reject);
      });
    } catch (error) {
      if (i > 200) throw error;
      await sleep(5);
    }
  }
};

/** The current end of the agent's port: the target's after the move. */
const ends = new Map<string, string>();

const agent = async (
  p: Parts,
  source: Running,
  vmId: string,
  t: Topology,
  _disk: string,
): Promise<{ channel: AgentChannel; withAgent: Topology }> => {
  const qga = new QgaClient(await open(path.join(source.dir, 'port-qga.sock')));
  await qga.sync(60_000);
  const port = { id: 'agent', nr: 2, name: 'com.chrysalis.agent.0' };
  const used = new Set([...t.disks, ...t.nics].map((d) => d.port));
  const free = Array.from({ length: t.rootPorts }, (_, i) => i).find((i) => !used.has(i))!;
  const packageDisk = {
    id: 'agent-package',
    port: free,
    serial: 'chrysalis-agent',
    sizeMiB: 1,
    format: 'raw' as const,
    pool: 'packages',
    volume: 'package',
    readOnly: true,
  };
  const { blockNodes, diskDevice, serialChardev, serialDevice } = await import('../../../libs/hypervisor/src/qemu/command-line.ts');
  ends.set(vmId, path.join(source.dir, 'port-agent.sock'));
  const grant = await signGrant(p.tenant, {
    jti: `bench-${vmId}-${Date.now()}`,
    iss: 'main',
    vms: [vmId],
    packages: [p.agentPackage.digest],
    uses: 100,
    actions: ['add-agent', 'characterise', 'reconfigure', 'run-script'],
  });
  const channel = await addAgent({
    qga,
    vmId,
    grant,
    packageDigest: p.agentPackage.digest,
    timeoutMs: 60_000,
    hardware: {
      plugPackageDisk: async () => {
        for (const node of blockNodes(packageDisk, p.agentPackage.file)) await source.qmp.execute('blockdev-add', node);
        await source.qmp.execute('device_add', diskDevice(packageDisk));
        return { serial: packageDisk.serial };
      },
      unplugPackageDisk: async () => undefined,
      plugAgentPort: async () => {
        await source.qmp.execute('chardev-add', { id: 'char-agent', backend: serialChardev(ends.get(vmId)!) });
        await source.qmp.execute('device_add', serialDevice(port));
      },
      unplugAgentPort: async () => undefined,
      openAgentPort: () => open(ends.get(vmId)!),
    },
  });
  qga.close();
  return { channel, withAgent: { ...t, disks: [...t.disks, packageDisk], serialPorts: [...t.serialPorts, port] } };
};

type Move = {
  p: Parts;
  vmId: string;
  source: Running;
  to: FabricHost;
  topology: Topology;
  disk: string;
  channel: AgentChannel;
  started: Running[];
};

const move = async ({ p, vmId, source, to, topology, disk, channel, started }: Move): Promise<Figures> => {
  let command = 0;
  const guest = <N extends Parameters<AgentChannel['command']>[0]>(name: N, input: Parameters<AgentChannel['command']>[1]) =>
    channel.command(name, input as never, { id: `${vmId}-${++command}`, timeoutMs: 30_000 });
  const script = (text: string) => guest('run-script', { script: text, timeoutMs: 10_000, maxOutputBytes: 4096 } as never);
  const startedAt = performance.now();

  const before = (await guest('facts', {} as never)) as { facts: { bootId: string } };
  await script(journey.preMigration[0].script);

  const deleted = source.qmp.waitFor('DEVICE_DELETED', (e) => e.data['device'] === 'nic-legacy', 30_000);
  await source.qmp.execute('device_del', { id: 'nic-legacy' });
  await deleted.promise;
  await source.qmp.execute('netdev_del', { id: 'net-legacy' });

  const moved: Topology = { ...topology, nics: topology.nics.filter((n) => n.id !== 'legacy') };
  const target = await start(to, path.join(source.dir, '..', 'target'), moved, p, { disk, incoming: true });
  started.push(target);
  const downtimeMs = await transfer(source, target, to.address);
  ends.set(vmId, path.join(target.dir, 'port-agent.sock'));
  await source.qmp.execute('quit').catch(() => undefined);
  await plug(target, moved);

  await guest('online-cpus', { vcpus: 2 } as never);
  await guest('online-memory', { memoryMiB: 1024 } as never);
  await guest('grow-filesystem', { disk: 'data' } as never);
  await script(journey.postMigration[0].script);
  await guest('verify', {
    expect: {
      bootId: before.facts.bootId,
      vcpus: 2,
      memoryMiB: 1024,
      disks: [{ serial: 'data', minBytes: 256 * MiB }],
      macs: moved.nics.map((n) => n.mac),
    },
  } as never);
  const totalMs = performance.now() - startedAt;
  channel.close();
  return { totalMs, downtimeMs };
};

/** From running to running; milliseconds in which the guest stood still. */
const transfer = async (source: Running, target: Running, address: string): Promise<number> => {
  const capabilities = [
    { capability: 'events', state: true },
    { capability: 'return-path', state: true },
  ];
  await target.qmp.execute('migrate-set-capabilities', { capabilities });
  await target.qmp.execute('migrate-incoming', { uri: `tcp:${address}:0` });
  const { 'socket-address': where } = await target.qmp.execute<{ 'socket-address': { port: string }[] }>('query-migrate');
  await source.qmp.execute('migrate-set-capabilities', { capabilities });
  await source.qmp.execute('migrate-set-parameters', {
    'downtime-limit': defaultTuning.downtimeLimitMs,
    'max-bandwidth': defaultTuning.maxBandwidthMiBps * MiB,
  });
  let stoppedAtUs = 0;
  const off = source.qmp.on((e) => void (e.event === 'STOP' && (stoppedAtUs = e.atUs)));
  const completed = source.qmp.waitFor('MIGRATION', (e) => ['completed', 'failed'].includes(String(e.data['status'])), 60_000);
  const resumed = target.qmp.waitFor('RESUME', () => true, 60_000);
  await source.qmp.execute('migrate', { uri: `tcp:${address}:${where[0]!.port}` });
  const end = await completed.promise;
  if (end.data['status'] !== 'completed') throw new Error('the bare migration failed');
  await target.qmp.execute('cont');
  const { atUs: resumedAtUs } = await resumed.promise;
  off();
  return (resumedAtUs - stoppedAtUs) / 1000;
};

const plug = async (target: Running, moved: Topology): Promise<void> => {
  const { cpuDevice, dimmBackend, dimmDevice } = await import('../../../libs/hypervisor/src/qemu/command-line.ts');
  await target.qmp.execute('device_add', cpuDevice(moved, 'cpu1', 1));
  await target.qmp.execute('object-add', dimmBackend('dimm0', 512));
  await target.qmp.execute(
    'device_add',
    dimmDevice({ ...moved, memory: { ...moved.memory, dimms: [{ id: 'dimm0', sizeMiB: 512 }] } }, 'dimm0'),
  );
  await target.qmp.execute('block_resize', { 'node-name': 'block-data', size: 256 * MiB });
};
