import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { realClock, SimulatedDriver, SimulatedStore, SimulatedWorld } from '@chrysalis/hypervisor';
import { pino } from 'pino';
import { newVmState } from '../durable/vm-state.ts';
import { VmStates } from '../durable/vm-states.ts';
import type { TaskRun } from '../execution/handler.ts';
import { digest } from '../test/fixtures.ts';
import type { HandlerContext } from './handler-context.ts';
import { confirmTarget } from './target.ts';

let dir: string;
beforeEach(async () => void (dir = await mkdtemp(join(tmpdir(), 'chy-confirm-'))));
afterEach(() => rm(dir, { recursive: true, force: true }));

test('a panic at the target stops the move once: whoever goes on with it was told, also by an agent that was killed in between', async () => {
  const world = new SimulatedWorld({ clock: realClock, bandwidthMiBps: 1024 });
  const driver = new SimulatedDriver({ host: 'b', world, store: new SimulatedStore(), pools: ['shared'] });
  const { topology, topologyHash } = await driver.boot({
    ...{ vmId: 'vm', uuid: '5f0c3a86-3a4b-4d7e-9a43-6b8a5f0d6a01', pool: 'shared', nics: [] },
    image: { name: 'linux', version: 1, digest: digest('0'), cmdline: '' },
    spec: {
      vcpus: { now: 1, max: 1 },
      memoryMiB: { now: 256, max: 256 },
      ...{ disks: [], nics: [], cpuModel: 'Westmere', requiredTraits: [] },
    },
  });
  const at = new Date().toISOString();
  const move = { side: 'target', moveId: 'm', newEpoch: 2, peerToken: 't', deadlineAt: at, phase: 'running', resumedAt: at } as const;
  const first = await VmStates.open(dir);
  await first.update('vm', () => ({ ...newVmState('vm', 't', 2), role: 'runner', topology, topologyHash, move }));
  const confirm = (states: VmStates) => {
    const context = { driver, states, now: Date.now, log: pino({ level: 'silent' }) } as unknown as HandlerContext;
    return confirmTarget(context).run({ vmId: 'vm', epoch: 2, moveId: 'm', topologyHash } as never, {} as TaskRun);
  };
  const panic = (): Promise<void> =>
    driver.consoleOf('vm').type(Buffer.from('\nKernel panic - not syncing: Fatal exception in interrupt\n'));
  await panic();
  await expect(confirm(first)).rejects.toMatchObject({ code: 'host.guest_panicked' });
  const next = await VmStates.open(dir);
  expect(await confirm(next)).toEqual({ topology, topologyHash });
  await panic(); // another one
  await expect(confirm(next)).rejects.toMatchObject({ code: 'host.guest_panicked' });
});
