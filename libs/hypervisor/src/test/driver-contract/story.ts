import { expect } from '@jest/globals';
import type { Topology } from '@chrysalis/contracts';
import type { BootSpec, HypervisorDriver } from '../../driver.ts';
import type { LifecycleEvent } from '../../lifecycle.ts';
import { MOVED, type Rig } from './rig.ts';

/** What one test leaves to the next: the same VM through all of it. */
export type Story = {
  readonly kind: string;
  readonly rig: Rig;
  readonly spec: BootSpec;
  /** Of the guest that is booted once and must stay the same. */
  bootId: string;
  /** A folder for saved states. */
  readonly saves: string;
};

export const topologyOf = (driver: HypervisorDriver): Promise<Topology> => driver.status(MOVED).then((s) => s.topology);

export const expectItRunsOn = async ({ rig, bootId }: Story): Promise<void> => {
  expect(await rig.a().status(MOVED)).toMatchObject({ state: 'running', running: true, role: 'runner', migrating: false });
  expect(await rig.bootId(rig.a(), MOVED)).toBe(bootId);
};

export const untilMigrating = async (driver: HypervisorDriver, vmId: string): Promise<void> => {
  while (!(await driver.status(vmId)).migrating) await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setTimeout(resolve, 60));
};

/** What is told from now on: kind, state, and whether a migration or a save was under way. */
export const listen = (driver: HypervisorDriver) => {
  const events: LifecycleEvent[] = [];
  const stop = driver.onLifecycle((event) => void events.push(event));
  const of = (vmId: string) => events.filter((e) => e.vmId === vmId).map((e) => [e.kind, e.state, e.migrating] as const);
  const until = async (vmId: string, kind: LifecycleEvent['kind']): Promise<void> => {
    while (!of(vmId).some(([k]) => k === kind)) await pause();
  };
  return { stop, of, until };
};

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

export const untilSeen = async (driver: HypervisorDriver, vmId: string, observed: object): Promise<void> => {
  const until = Date.now() + 10_000;
  const wanted = (observed as { state: string }).state;
  while ((await driver.status(vmId)).observed?.state !== wanted && Date.now() < until) await pause();
  expect(await driver.status(vmId)).toMatchObject({ observed });
};

/** Adopted anew until its process has ended: nobody was told. */
export const untilGone = async (look: () => Promise<{ state: string }>, lose: () => Promise<void>): Promise<void> => {
  while ((await look()).state !== 'gone') {
    await pause();
    await lose();
  }
};
