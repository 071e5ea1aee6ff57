import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Topology } from '@chrysalis/contracts';
import { root } from '../run/platform.ts';
import type { Run } from './run.ts';
import type { ServiceSeen } from './service-client.ts';

/** The client outside both hosts, in its own namespace and process. Takes the guest's address, or every URL that leads to its service. */
/** `patienceMs`: how long it waits for an answer; longer for a guest that is to stand still, whose connection is to outlast that. */
export const startServiceClient = async (
  run: Run,
  service: string | readonly string[],
  patienceMs = 15_000,
): Promise<{ stop(): Promise<ServiceSeen> }> => {
  const [command, ...args] = run.fabric.client.inside([
    process.execPath,
    '--import',
    path.join(root, 'tools/node/register.mjs'),
    path.join(root, 'tools/fleet/service-client.ts'),
    String(patienceMs),
    ...(typeof service === 'string' ? [`http://${service}/`] : service),
  ]);
  const child = spawn(command!, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout });
  const next = (): Promise<string> => new Promise((resolve) => lines.once('line', resolve));
  const first = await Promise.race([next(), sleep(15_000).then(() => undefined)]);
  if (!first) {
    child.kill('SIGKILL');
    throw new Error(`the guest's service at ${String(service)} does not answer`);
  }
  return {
    stop: async () => {
      const last = next();
      child.stdin.end();
      return JSON.parse(await last) as ServiceSeen;
    },
  };
};
/** The guest's address follows from the MAC of its first NIC: see infra/guest. */
export const addressOf = (topology: Topology): string => {
  const mac = topology.nics
    .find((n) => n.network === 'front')!
    .mac.split(':')
    .map((x) => Number.parseInt(x, 16));
  return `198.18.${mac[4]}.${mac[5]}`;
};
