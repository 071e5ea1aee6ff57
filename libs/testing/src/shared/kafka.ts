import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
// eslint-disable-next-line @nx/enforce-module-boundaries -- the very launcher that embedded mode uses, so that tests run on it
import { startKafka } from '../../../../infra/kafka/launcher.ts';

export const start = async () => {
  const dir = mkdtempSync(path.join(tmpdir(), 'chrysalis-kafka-'));
  const { brokers, version, pid, stop } = await startKafka({ dir });
  return {
    info: { brokers, version, pid },
    stop: async () => {
      await stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
};
