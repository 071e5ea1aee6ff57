import { Duplex } from 'node:stream';
import { expect, test } from '@jest/globals';
import { addAgent } from './add-agent.ts';
import { QgaError } from './qga-connection.ts';
import type { QgaClient } from './qga.ts';

const silent = (): Duplex => new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });

test('an agent that could not be added leaves the port at once: it has one client at a time, and the next try needs it', async () => {
  const streams: Duplex[] = [];
  const nothing = async (): Promise<void> => undefined;
  const adding = addAgent({
    qga: {
      sync: nothing,
      start: () => Promise.reject(new QgaError('qga.timeout', 'no answer to guest-exec')),
      shell: () => Promise.reject(new QgaError('qga.timeout', 'the guest starts')),
    } as Partial<QgaClient> as QgaClient,
    hardware: {
      plugPackageDisk: async () => ({ serial: 'agent' }),
      plugAgentPort: nothing,
      unplugPackageDisk: nothing,
      unplugAgentPort: nothing,
      openAgentPort: async () => {
        streams.push(silent());
        return streams.at(-1)!;
      },
    },
    vmId: 'vm-1',
    grant: 'a.b.c',
    packageDigest: `sha256:${'a'.repeat(64)}`,
    timeoutMs: 600_000,
  });
  await expect(adding).rejects.toMatchObject({ code: 'qga.timeout' });
  expect(streams.map((s) => s.destroyed)).toEqual([true]);
});
