import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { hostTasks } from '@chrysalis/contracts';
import { until } from '@chrysalis/testing';
import { bootOf } from './test/fixtures.ts';
import { Fleet } from './test/fleet.ts';

describe('two host agents with one host id', () => {
  let fleet: Fleet;
  const boot = (vmId: string) => fleet.must(hostTasks.bootVm, 'h1', bootOf(vmId));
  const said = async (): Promise<string[]> =>
    (await fleet.world.events(fleet.gateway, 'host-agent-h1'))
      .map((e) => e.type.split('.')[3]!)
      .filter((type) => type !== 'clock-measured');
  const isOn = (as: string, vmId: string): boolean => existsSync(join(fleet.dir, as, 'simulated', `${vmId}.json`));

  beforeAll(async () => {
    fleet = await Fleet.open();
    await fleet.host({ hostId: 'h1', driver: 'simulated' });
    await until(async () => (await said()).includes('enrolled'));
    await fleet.host({ hostId: 'h1', as: 'h1-copied', driver: 'simulated' });
    await until(async () => (await said()).includes('refused'));
  });
  afterAll(() => fleet.stop());

  test('the first alone does the work, also after it was killed', async () => {
    for (const vmId of ['vm-1', 'vm-2']) {
      await boot(vmId);
      expect([isOn('h1', vmId), isOn('h1-copied', vmId)]).toEqual([true, false]);
    }
    await fleet.kill('h1');
    await fleet.start('h1');
    await boot('vm-3');
    expect([isOn('h1', 'vm-3'), isOn('h1-copied', 'vm-3')]).toEqual([true, false]);
    // On a busy machine its way back takes so long that it was given up meanwhile; that it is refused once, the copy, is what counts.
    expect((await said()).filter((type) => type !== 'lost' && type !== 'enrolled')).toEqual(['refused']);
  });
});
