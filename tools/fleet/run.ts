import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { sweepStateDir } from '@chrysalis/hypervisor';
import { ensureAgentPackage } from '../../infra/guest/agent-package.ts';
import { ensureGuestImage, type TrustedKey } from '../../infra/guest/image.ts';
import type { Fabric } from '../../infra/network/fabric.ts';
import { ensureSecondQemu } from '../../infra/hypervisor/second-qemu.ts';
import { freePort } from '../../infra/process/free-port.ts';
import type { Driver } from '../run/driver.ts';
import type { Network } from '../run/network.ts';
import { imageStoreOf, installImage, installPackage, installStandIns, packageStoreOf } from '../run/stores.ts';
import { demoHosts, openFabric, startHostAgents, type Hosts, type HostsOptions } from '../run/hosts.ts';
import { tenantKeyFile } from '../run/grant.ts';
import { cacheDir, removeCurrent, stateDir, writeCurrent, type Platform, type PlatformOptions } from '../run/platform.ts';
import { mountSmall, unmountSmall } from '../run/small-pool.ts';
import { atEnd, interrupted } from '../run/tool.ts';

export type Run = {
  readonly id: string;
  readonly dir: string;
  readonly driver: Driver;
  readonly network: Network;
  readonly platform: Platform;
  readonly fabric: Fabric;
  readonly hosts: Hosts;
  readonly image: { readonly digest: string; readonly cmdline: string };
  readonly agentPackage: { readonly digest: string; readonly version: string };
  stop(): Promise<void>;
};
export type RunOptions = {
  readonly distributed: boolean;
  readonly trustedKeys: readonly TrustedKey[];
  /** `qemu` unless told. */
  readonly driver?: Driver;
  /** `namespaces` unless told; simulated hosts have `loopback`. */
  readonly network?: Network;
  /** Services of an embedded run that are processes of their own even so. */
  readonly apart?: PlatformOptions['apart'];
  /** The first host has a pool `small` for itself, of so much. */
  readonly smallPoolMiB?: number;
  /** The pool `small` is one that all hosts see. */
  readonly smallPoolShared?: boolean;
  /** Each host has a pool `own`, which no other sees. */
  readonly ownPoolEach?: boolean;
  /** Of the hosts' CPUs and memory. */
  readonly ratioPerMille?: number;
  /** For every process of the run. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly say?: (text: string) => void;
};

const runsDir = path.join(stateDir, 'runs');

/** A control plane with two hosts, each in a network namespace of its own or on loopback, and nothing left of it after `stop`, or after the tool. */
export const openRun = (o: RunOptions): Promise<Run> => {
  const opening = open(o);
  atEnd(async () => (await opening.catch(() => undefined))?.stop());
  return opening;
};

/** Given up at an interruption: what is up by then is taken down. */
const open = async (o: RunOptions): Promise<Run> => {
  const say = o.say ?? (() => undefined);
  const driver = o.driver ?? 'qemu';
  const network = driver === 'simulated' ? 'loopback' : (o.network ?? 'namespaces');
  await forgetDeadRuns();
  const id = randomBytes(3).toString('hex');
  const name = `${process.pid}-${id}`;
  const dir = path.join(runsDir, name);
  mkdirSync(dir, { recursive: true });
  const undo: (() => Promise<void>)[] = [() => forget(name)];
  const undoBy = (step: () => Promise<void>): void => {
    undo.push(step);
    interrupted.throwIfAborted();
  };
  let stopping: Promise<void> = Promise.resolve();
  /** Whoever asks second waits for the first. */
  const stop = (): Promise<void> =>
    (stopping = stopping.then(async () => {
      for (const step of undo.splice(0).reverse()) await step();
    }));
  try {
    const { image, agentPackage, secondQemu } =
      driver === 'simulated' ? { ...installStandIns(dir), secondQemu: undefined } : await installReal(dir, o);
    const fabric = await openFabric(id, network);
    undoBy(() => fabric.teardown()); // ends the VMs as well, where they live in its namespaces
    say(o.distributed ? 'Kafka, PostgreSQL and seven services …' : 'PostgreSQL and the control plane …');
    const agentListen = `${fabric.controlAddress}:${await freePort(fabric.controlAddress)}`;
    const { startEmbedded } = await import('../run/embedded.ts');
    const { startDistributed } = await import('../run/distributed.ts');
    const platform = await (o.distributed ? startDistributed : startEmbedded)({
      agentListen,
      runDir: dir,
      ...(o.apart ? { apart: o.apart } : {}),
      environment: o.environment ?? {},
    });
    undoBy(() => platform.stop());
    const hosts = await startHostAgents(platform, fabric, {
      runDir: dir,
      ...smallPoolsOf(dir, o),
      ownPoolEach: o.ownPoolEach,
      imageStore: imageStoreOf(dir),
      packageStore: packageStoreOf(dir),
      driver,
      network,
      secondQemu,
      ratioPerMille: o.ratioPerMille,
      environment: o.environment ?? {},
    });
    undoBy(() => hosts.stop());
    writeCurrent(platform, { key: tenantKeyFile, kid: o.trustedKeys[0]!.kid, package: agentPackage.digest });
    atEnd(async () => removeCurrent());
    return { id, dir, driver, network, platform, fabric, hosts, image, agentPackage, stop };
  } catch (error) {
    await stop();
    throw error;
  }
};

const smallPoolsOf = (dir: string, { smallPoolMiB, smallPoolShared }: RunOptions): Pick<HostsOptions, 'ownPools' | 'sharedPools'> => {
  if (smallPoolMiB === undefined) return {};
  const small = { small: smallPoolOf(dir) };
  mountSmall(small.small, smallPoolMiB);
  return smallPoolShared ? { sharedPools: small } : { ownPools: small };
};

const installReal = async (dir: string, o: RunOptions) => ({ ...(await installGuest(dir, o)), secondQemu: await secondQemuOf(o) });

const installGuest = async (dir: string, o: RunOptions): Promise<Pick<Run, 'image' | 'agentPackage'>> => {
  o.say?.('guest image and migration agent …');
  const made = Promise.all([ensureGuestImage({ cacheDir, trustedKeys: o.trustedKeys }), ensureAgentPackage({ cacheDir })]);
  const [image, agentPackage] = await unless(interrupted, made); // the first time it downloads for a while
  installImage(dir, image);
  installPackage(dir, agentPackage);
  return { image, agentPackage };
};

/** Two hosts that are truly unlike, where there can be; else both have the system's QEMU, which is said. */
const secondQemuOf = async ({ say }: RunOptions): Promise<string | undefined> => {
  try {
    return (await unless(interrupted, ensureSecondQemu({ cacheDir }))).program;
  } catch (error) {
    interrupted.throwIfAborted();
    say?.(`both hosts have the system's QEMU: ${(error as Error).message}`);
    return undefined;
  }
};

const unless = <T>(signal: AbortSignal, work: Promise<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    if (signal.aborted) reject(signal.reason as Error);
    work.then(resolve, reject);
  });

/** Its VMs outlive their agents; those on loopback are in no namespace that would end them. */
const forget = async (name: string): Promise<void> => {
  const dir = path.join(runsDir, name);
  for (const { hostId } of demoHosts) await sweepStateDir(path.join(dir, hostId, 'qemu'));
  unmountSmall(smallPoolOf(dir));
  rmSync(dir, { recursive: true, force: true });
};
export const smallPoolOf = (runDir: string): string => path.join(runDir, 'small-pool');

const forgetDeadRuns = async (): Promise<void> => {
  if (!existsSync(runsDir)) return;
  for (const name of readdirSync(runsDir)) if (!isRunning(Number(name.split('-')[0]))) await forget(name);
};
const isRunning = (pid: number): boolean => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('tools/');
  } catch {
    return false;
  }
};
