// The agents of all simulated hosts in one process: what they do is not what is measured, but it runs on the same cores.
import path from 'node:path';
import { createDriver, HostAgentConfig, startHostAgent, type HostAgent } from '@chrysalis/host-agent-app';
import { createLog } from '@chrysalis/service-kit/log';
import { serveAsChild, type Served } from '../workflow/child.ts';
import { DISK_MIB, MEMORY_MIB } from './shape.ts';

const all = (total: number) => ({ total, reserved: 0, ratioPerMille: 1000, min: 1, max: total, step: 1 });

const open = async ({ dir, gatewayUrl, tokens, vmsAHost }: Record<string, string>): Promise<Served> => {
  const room = Number(vmsAHost);
  const agents: HostAgent[] = [];
  for (const [hostId, token] of Object.entries(JSON.parse(tokens!) as Record<string, string>)) {
    const config = HostAgentConfig.parse({
      ...{ hostId, token, gatewayUrl, address: '127.0.0.1', driver: 'simulated' },
      place: { site: 'lab', room: 'one', rack: `r${hostId.slice(-3, -1)}` },
      inventory: { vcpu: all(room), memoryMiB: all(room * MEMORY_MIB), diskMiB: all(room * DISK_MIB) },
      networks: { front: 'isolated' },
      pools: { shared: path.join(dir!, 'pool') },
      imageStore: path.join(dir!, 'images'),
      packageStore: path.join(dir!, 'packages'),
      stateDir: path.join(dir!, hostId),
    });
    agents.push(await startHostAgent(config, { ...(await createDriver(config)), log: createLog(`host-agent:${hostId}`) }));
  }
  const runners = (): string[] => agents.flatMap((a) => a.states.all().flatMap((s) => (s.role === 'runner' ? [s.vmId] : [])));
  return {
    ready: agents.length,
    answer: async () => runners(),
    close: async () => void (await Promise.all(agents.map((a) => a.stop()))),
  };
};

await serveAsChild(open);
