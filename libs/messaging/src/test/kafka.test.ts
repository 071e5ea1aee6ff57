import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from '@jest/globals';
import { sharedKafka, skipped } from '@chrysalis/testing';
import { freePort } from '../../../../infra/process/free-port.ts';
import { startOwnKafka, type RunningKafka } from '../../../../infra/kafka/launcher.ts';
import { createBus } from '../index.ts';
import { busContract } from './contract/contract.ts';
import type { Harness } from './contract/rig.ts';

const harness = (brokers: string[]): Harness => ({
  open: (n) => createBus({ kind: 'kafka', brokers, clientId: `contract-${n}`, log: () => undefined }),
  config: { kind: 'kafka', brokers, clientId: 'contract-member' },
});

const startAt = async (dir: string, port: number) => ({ port, kafka: await startOwnKafka({ dir, port }) });

if (skipped('kafka')) {
  process.stdout.write('skipped (CHRYSALIS_SKIP): kafka: the contract suite of the event bus on Apache Kafka\n');
  describe('the event bus: kafka', () => test.skip('left out by CHRYSALIS_SKIP=kafka', () => undefined));
} else {
  const dir = mkdtempSync(path.join(tmpdir(), 'chrysalis-kafka-'));
  let own: { port: number; kafka: RunningKafka } | undefined;
  busContract({
    name: 'kafka',
    open: async () => harness((await sharedKafka()).brokers),
    // A broker of its own at a fixed port: destroying it is ending it, removing its data, and starting it anew.
    openDestructible: async () => {
      const { port } = (own ??= await startAt(dir, await freePort()));
      return {
        ...harness([`127.0.0.1:${port}`]),
        destroy: async () => {
          await own?.kafka.stop();
          rmSync(path.join(dir, 'data'), { recursive: true });
          own = await startAt(dir, port);
        },
      };
    },
    close: async () => {
      await own?.kafka.stop();
      rmSync(dir, { recursive: true, force: true });
    },
    handsOverCleanly: false,
  });
}
