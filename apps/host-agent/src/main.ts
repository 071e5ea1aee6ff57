import { createHash } from 'node:crypto';
import { createServer } from 'node:net';
import { resolve } from 'node:path';
import { startHostAgent } from './agent.ts';
import { readConfig, type HostAgentConfig } from './config.ts';
import { createDriver } from './driver.ts';
import { endOnce } from './end-once.ts';
import { createLog } from '@chrysalis/service-kit/log';

/** `main.ts CONFIG.json`: a plain process, one a host. Tells a parent over IPC when it is up; ends with a signal; its VMs run on. */
const main = async (): Promise<void> => {
  const path = process.argv[2];
  if (!path) throw new Error('usage: main.ts CONFIG.json');
  const config = readConfig(path);
  await onlyOne(config);
  const log = createLog(`host-agent:${config.hostId}`);
  const agent = await startHostAgent(config, { ...(await createDriver(config)), log });
  process.send?.({ type: 'ready', peerAddress: agent.peerAddress });
  endOnce(process, () => agent.stop(), process.send !== undefined);
};

/** Two agents on one state directory would be two minds about one VM. An abstract socket is let go by the kernel, also after kill -9. */
const onlyOne = ({ stateDir }: HostAgentConfig): Promise<void> =>
  new Promise((done, fail) => {
    const name = createHash('sha256').update(resolve(stateDir)).digest('hex').slice(0, 32);
    const lock = createServer().unref();
    lock.once('error', () => fail(new Error(`another host agent uses ${stateDir}`)));
    lock.listen(`\0chrysalis-host-agent-${name}`, () => done());
  });

if (import.meta.main) await main();
