import { provisioningEvents } from '@chrysalis/contracts';
import { Latencies, openLoop } from '../open-loop.ts';
import type { ApiClient, Made } from './client.ts';
import { IMAGE, TYPE } from './shape.ts';

const booted = provisioningEvents.vmBooted.type;
const deleted = provisioningEvents.vmDeleted.type;
export const followed = [booted, deleted];

let number = 0;
/** From `intended` (the request, unless told) to running, as the API's readers see it. */
const create = async (client: ApiClient, intended = performance.now()): Promise<{ made: Made; ms: number }> => {
  const body = { name: `bench-${number++}`, type: TYPE, image: IMAGE };
  const made = await client.send<Made>('POST', '/v1/vms', body);
  const at = await client.heard(booted, made.vmId);
  return { made, ms: at - intended };
};

/** `inFlight` at a time, the next when one is there: what the control plane can do, and nothing about how long one takes. */
const atOnce = async <T>(count: number, inFlight: number, work: (n: number) => Promise<T>): Promise<T[]> => {
  const results: T[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) results.push(await work(next++));
  };
  await Promise.all(Array.from({ length: Math.min(inFlight, count) }, worker));
  return results;
};

export const fill = (client: ApiClient, count: number, inFlight: number): Promise<Made[]> =>
  atOnce(count, inFlight, async () => (await create(client)).made);

export const remove = async (client: ApiClient, vms: readonly Made[], inFlight: number): Promise<void> => {
  await atOnce(vms.length, inFlight, async (n) => {
    const { vmId } = vms[n]!;
    const gone = client.heard(deleted, vmId);
    await client.send('DELETE', `/v1/vms/${vmId}`, {});
    await gone;
  });
};

/** At a fixed rate, whatever becomes of those before; latency counts from when each should have begun. */
export const atRate = async (client: ApiClient, perSecond: number, ms: number): Promise<{ vms: Made[]; latencies: Latencies }> => {
  const latencies = new Latencies();
  const vms: Made[] = [];
  await openLoop(perSecond, ms, async (_, intended) => {
    const one = await create(client, intended);
    latencies.record(one.ms);
    vms.push(one.made);
  });
  return { vms, latencies };
};

/** One, and the next a moment that chance decides after it runs: none meets the beat of a timer. */
export const alone = async (client: ApiClient, count: number): Promise<{ vms: Made[]; ms: number[] }> => {
  const vms: Made[] = [];
  const ms: number[] = [];
  for (let i = 0; i < count; i++) {
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 100));
    const one = await create(client);
    vms.push(one.made);
    ms.push(one.ms);
  }
  return { vms, ms };
};
