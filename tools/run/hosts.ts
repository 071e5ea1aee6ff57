import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HostFacts } from '@chrysalis/contracts';
import { createFabric, type Fabric, type FabricHost } from '../../infra/network/fabric.ts';
import { loopbackFabric } from '../../infra/network/loopback.ts';
import { freePort } from '../../infra/process/free-port.ts';
import type { Driver } from './driver.ts';
import type { Network } from './network.ts';
import { root, stateDir, type Platform } from './platform.ts';

export const fabricsDir = path.join(stateDir, 'fabrics');

type Shape = Pick<HostFacts, 'place' | 'traits' | 'inventory'> & { readonly hostId: string; readonly cpuModels: readonly string[] };
const inventory = (vcpu: number, memoryMiB: number, diskMiB: number): HostFacts['inventory'] => ({
  vcpu: { total: vcpu, reserved: 0, ratioPerMille: 2000, min: 1, max: vcpu, step: 1 },
  memoryMiB: { total: memoryMiB, reserved: 256, ratioPerMille: 1000, min: 128, max: memoryMiB, step: 128 },
  diskMiB: { total: diskMiB, reserved: 0, ratioPerMille: 1000, min: 1, max: diskMiB, step: 1 },
});

/** Two generations of servers: what both can give is what a VM may be made of if it is to move between them. */
export const demoHosts: readonly Shape[] = [
  {
    hostId: 'rack1-old',
    place: { site: 'lab', room: 'one', rack: 'r1' },
    traits: ['generation.2010', 'storage.shared'],
    cpuModels: ['Nehalem', 'Westmere'],
    inventory: inventory(4, 4096, 20_480),
  },
  {
    hostId: 'rack2-new',
    place: { site: 'lab', room: 'one', rack: 'r2' },
    traits: ['generation.2016', 'storage.shared', 'storage.nvme'],
    cpuModels: ['Westmere', 'SandyBridge', 'IvyBridge', 'Skylake-Client'],
    inventory: inventory(8, 8192, 81_920),
  },
];

export type HostsOptions = {
  readonly runDir: string;
  readonly imageStore: string;
  readonly packageStore: string;
  readonly driver: Driver;
  readonly network: Network;
  /** Pools that the first host has for itself: name -> directory. */
  readonly ownPools?: Readonly<Record<string, string>>;
  /** Beside `shared`, where they are: all hosts see them. */
  readonly sharedPools?: Readonly<Record<string, string>>;
  /** Each host has a pool `own`, which no other sees. */
  readonly ownPoolEach?: boolean | undefined;
  /** The program that runs the VMs of the second host; absent: both hosts have the system's. */
  readonly secondQemu?: string | undefined;
  /** How much of CPUs and memory may be given to VMs, over what a host has: as its inventory says, unless told. */
  readonly ratioPerMille?: number | undefined;
  readonly environment?: Readonly<Record<string, string>>;
};
export type Hosts = {
  readonly agents: readonly {
    readonly hostId: string;
    readonly stateDir: string;
    /** Where no network leads to the guests: where the host says whether they answer. */
    readonly guestDoor?: string;
    readonly pid: () => number | undefined;
    kill(): Promise<void>;
  }[];
  stop(): Promise<void>;
};

/** One network namespace a host, one for a client outside both, one bridge; or loopback addresses alone. */
export const openFabric = async (id: string, network: Network = 'namespaces'): Promise<Fabric> => {
  const hosts = demoHosts.map((h) => ({ name: h.hostId }));
  return network === 'loopback' ? loopbackFabric({ id, hosts }) : createFabric({ id, hosts, stateDir: fabricsDir });
};

/** A host agent in each host's namespace, started anew when it ends; the VMs outlive it. */
export const startHostAgents = async (platform: Platform, fabric: Fabric, o: HostsOptions): Promise<Hosts> => {
  const pool = path.join(o.runDir, 'shared-pool');
  mkdirSync(pool, { recursive: true });
  const agents = await Promise.all(
    demoHosts.map(async (shape) => {
      const host = fabric.hosts.find((h) => h.name === shape.hostId)!;
      const dir = path.join(o.runDir, shape.hostId);
      mkdirSync(dir, { recursive: true });
      const file = path.join(dir, 'host-agent.json');
      const guestDoorPort = o.network === 'loopback' ? await freePort(host.address) : undefined;
      const config = {
        ...shape,
        inventory: given(shape.inventory, o.ratioPerMille),
        address: host.address,
        networks: { front: host.bridge, legacy: host.innerBridge },
        pools: {
          shared: pool,
          ...shared(o.sharedPools ?? {}),
          ...(shape === demoHosts[0] ? own(o.ownPools ?? {}) : {}),
          ...(o.ownPoolEach === true ? own({ own: ownPoolOf(dir) }) : {}),
        },
        imageStore: o.imageStore,
        packageStore: o.packageStore,
        stateDir: dir,
        gatewayUrl: platform.agentUrl,
        token: await platform.tokenFor(`host:${shape.hostId}`, ['host-agent'], '*'),
        driver: o.driver,
        ...(shape === demoHosts[1] && o.secondQemu ? { qemu: o.secondQemu } : {}),
        ...(guestDoorPort ? { guestDoorPort } : {}),
      };
      writeFileSync(file, JSON.stringify(config, null, 2), { mode: 0o600 });
      return {
        hostId: shape.hostId,
        stateDir: dir,
        ...(guestDoorPort ? { guestDoor: `http://${host.address}:${guestDoorPort}` } : {}),
        ...superviseAgent(host, file, o.environment ?? {}),
      };
    }),
  );
  return { agents, stop: async () => void (await Promise.all(agents.map((a) => a.stop()))) };
};

const given = (inventory: HostFacts['inventory'], ratioPerMille: number | undefined): HostFacts['inventory'] =>
  ratioPerMille === undefined
    ? inventory
    : { ...inventory, vcpu: { ...inventory.vcpu, ratioPerMille }, memoryMiB: { ...inventory.memoryMiB, ratioPerMille } };

/** Of a host that has a pool `own` for itself, as another one has. */
export const ownPoolOf = (stateDir: string): string => path.join(stateDir, 'own-pool');

const shared = (pools: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(pools).map(([name, directory]) => [name, { directory, shared: true }]));
const own = (pools: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(pools).map(([name, directory]) => [name, { directory, shared: false }]));

const superviseAgent = (host: FabricHost, config: string, environment: Readonly<Record<string, string>>) => {
  let child: ChildProcess | undefined;
  let stopping = false;
  const start = (): void => {
    const [command, ...args] = host.inside([
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      '--import',
      path.join(root, 'tools/node/register.mjs'),
      path.join(root, 'apps/host-agent/src/main.ts'),
      config,
    ]);
    child = spawn(command!, args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], env: { ...process.env, ...environment } });
    child.once('exit', () => {
      child = undefined;
      if (!stopping) void sleep(300).then(() => !stopping && start());
    });
  };
  start();
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const c = child;
    if (!c || c.exitCode !== null || c.signalCode !== null) return;
    const gone = new Promise((resolve) => c.once('exit', resolve));
    c.kill(signal);
    const killer = setTimeout(() => c.kill('SIGKILL'), 5000);
    await gone;
    clearTimeout(killer);
  };
  return {
    pid: () => child?.pid,
    kill: () => end('SIGKILL'),
    stop: () => {
      stopping = true;
      return end('SIGTERM');
    },
  };
};
