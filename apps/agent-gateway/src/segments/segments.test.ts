import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { until } from '@chrysalis/testing';
import { hello, TestAgent, worldOfTwo, type Gateway, type World } from '../test/harness.ts';

let w: World, one: Gateway, two: Gateway;
beforeAll(async () => ({ w, one, two } = await worldOfTwo()));
afterAll(() => w?.stop());

let hosts = 0;
/** An agent that speaks of segments, at its own address. */
const join = async (gateway: Gateway, vnis: readonly number[]) => {
  const hostId = `seg-${++hosts}`;
  const address = `198.18.9.${hosts}`;
  const greeting = hello(hostId, await w.token(`host:${hostId}`, 'host-agent'));
  const segments = vnis.map((vni) => ({ vni, peersVersion: 0 }));
  const agent = await TestAgent.of(gateway, hostId, '', { ...greeting, facts: { ...greeting.facts, address }, segments } as never);
  let seq = 0;
  const has = (parts: readonly { vni: number; peersVersion: number }[]): void =>
    agent.send({ type: 'heartbeat', seq: ++seq, at: new Date().toISOString(), vms: [], segments: [...parts] });
  const words = (vni: number) => agent.frames.flatMap((f) => (f.type === 'segment-peers' && f.vni === vni ? f : []));
  return { agent, address, has, words, peers: (vni: number) => words(vni).at(-1)?.peers };
};

test('each host that has a part of a segment is told who else has one, over whichever gateway, also when one comes or goes', async () => {
  const a = await join(one, [7]);
  const b = await join(two, []);
  await until(async () => a.peers(7)?.join() === a.address);
  b.has([{ vni: 7, peersVersion: 0 }]);
  const both = [a.address, b.address].join();
  await until(async () => a.peers(7)?.join() === both && b.peers(7)?.join() === both);
  a.has([]);
  await until(async () => b.peers(7)?.join() === b.address);
  const versions = b.words(7).map((x) => x.version);
  expect(versions).toEqual([...versions].sort((x, y) => x - y));
});

test('who shows an older version is told again; who has no part, or does not speak of segments, is told nothing', async () => {
  const a = await join(one, [8]);
  const silent = await TestAgent.of(one, 'seg-silent', await w.token('host:seg-silent', 'host-agent'));
  const other = await join(one, [9]);
  await until(async () => a.words(8).length >= 3); // it shows version 0 still
  const { version } = a.words(8)[0]!;
  a.has([{ vni: 8, peersVersion: version }]);
  await until(async () => other.words(9).length >= 2);
  expect(other.words(8)).toEqual([]);
  expect(silent.frames.filter((f) => f.type === 'segment-peers')).toEqual([]);
});

test('a host that comes back at another address, without what it had, is told of as that', async () => {
  const a = await join(one, [10]);
  const b = await join(one, [10]);
  await until(async () => a.peers(10)?.length === 2);
  b.agent.close();
  const greeting = hello('seg-back', await w.token('host:seg-back', 'host-agent'));
  await TestAgent.of(two, 'seg-back', '', { ...greeting, facts: { ...greeting.facts, address: '198.18.9.200' }, segments: [{ vni: 10, peersVersion: 0 }] } as never); // prettier-ignore
  // Lost is not dead: its VMs may run, and what is for all goes there still.
  await until(async () => a.peers(10)?.join() === [a.address, '198.18.9.200', b.address].sort().join());
});
