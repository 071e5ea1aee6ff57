import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { startTimeOf } from './process-time.ts';
import { endUserNamespace, mayMakeNamespaces, NamespacesUnavailable, ownUserNamespace } from './user-namespace.ts';

const exec = promisify(execFile);

export type FabricHost = {
  readonly name: string;
  readonly netns: string;
  readonly address: string;
  /** The bridge in the host's namespace: uplink and VM taps are its ports. */
  readonly bridge: string;
  /** A bridge that leads nowhere outside the host: two NICs of a VM on one layer 2 would both answer for its address (ARP flux). */
  readonly innerBridge: string;
  /** The command line that runs `argv` in the host's namespace. */
  inside(argv: readonly string[]): string[];
};
export type Fabric = {
  readonly id: string;
  readonly hosts: readonly FabricHost[];
  /** A client outside all hosts, on the same layer 2. */
  readonly client: { readonly netns: string; readonly address: string; inside(argv: readonly string[]): string[] };
  /** Where the control plane listens for host agents. */
  readonly controlAddress: string;
  /** Ends what still runs in the namespaces and removes them. Twice is harmless. */
  teardown(): Promise<void>;
};

const BRIDGE = 'br0';
const INNER_BRIDGE = 'br1';
/** A run's record, so that a later run finds what a killed one left: owner by pid and start time, since pids come again. */
type Record = {
  readonly id: string;
  readonly owner: { readonly pid: number; readonly startedAt: string };
  readonly namespaces: readonly string[];
  readonly link: string;
  /** Where all of it is in a user namespace: what is left of it ends with that namespace's processes. */
  readonly userNamespace?: string;
};

/**
 * One namespace per host and one for a client, all on a bridge in a namespace of its own; one veth leads to this namespace for the
 * control plane. Addresses are from 198.18.0.0/15 (RFC 2544, for tests): 198.18.<r>.0/24 with r < 16 for hosts, the rest for guests.
 * Removing the namespaces removes everything but the one link here, which goes with its peer.
 */
export const createFabric = async (o: {
  readonly id: string;
  readonly hosts: readonly { readonly name: string }[];
  readonly stateDir: string;
}): Promise<Fabric> => {
  if (!mayMakeNamespaces()) throw new NamespacesUnavailable('it has neither CAP_NET_ADMIN nor CAP_SYS_ADMIN');
  if (!/^[a-z0-9]{1,8}$/.test(o.id)) throw new Error('a fabric id has 1 to 8 lower-case letters and digits');
  const ns = (name: string): string => `chy-${o.id}-${name}`;
  const lan = ns('lan');
  const clientNs = ns('client');
  const link = `chy${o.id}`;
  const third = freeThirdByte();
  const at = (n: number): string => `198.18.${third}.${n}`;
  const members = [
    ...o.hosts.map((h, i) => ({ name: h.name, netns: ns(h.name), address: at(11 + i), bridged: true })),
    { name: 'client', netns: clientNs, address: at(250), bridged: false },
  ];
  const namespaces = [lan, ...members.map((m) => m.netns)];
  const userNamespace = ownUserNamespace();
  const within = userNamespace ? { userNamespace } : {};
  const record: Record = { id: o.id, owner: { pid: process.pid, startedAt: startTimeOf(process.pid)! }, namespaces, link, ...within };
  mkdirSync(o.stateDir, { recursive: true });
  const file = path.join(o.stateDir, `${o.id}.json`);
  writeFileSync(file, JSON.stringify(record)); // before the first namespace: a kill from here on leaves a trace
  const teardown = async (): Promise<void> => {
    await remove(record);
    rmSync(file, { force: true });
  };
  try {
    await lay({ link, control: at(1), lan, members });
  } catch (error) {
    await teardown();
    throw error;
  }
  const inside = (netns: string) => (argv: readonly string[]) => ['ip', 'netns', 'exec', netns, ...argv];
  return {
    id: o.id,
    hosts: members
      .filter((m) => m.bridged)
      .map((m) => ({
        name: m.name,
        netns: m.netns,
        address: m.address,
        bridge: BRIDGE,
        innerBridge: INNER_BRIDGE,
        inside: inside(m.netns),
      })),
    client: { netns: clientNs, address: at(250), inside: inside(clientNs) },
    controlAddress: at(1),
    teardown,
  };
};

type Member = { readonly netns: string; readonly address: string; readonly bridged: boolean };
type Plan = { readonly link: string; readonly control: string; readonly lan: string; readonly members: readonly Member[] };
/** Namespaces, the bridge of the LAN, a cable from it to each, and what each has inside. */
const lay = async ({ link, control, lan, members }: Plan): Promise<void> => {
  await batch([lan, ...members.map((m) => m.netns)].map((n) => `netns add ${n}`));
  await batch([`link add ${BRIDGE} type bridge mcast_snooping 0`, `link set ${BRIDGE} up`, 'link set lo up'], lan);
  await batch([
    `link add ${link} type veth peer name control netns ${lan}`,
    `addr add ${control}/24 dev ${link}`,
    `link set ${link} up`,
    ...members.map((m, i) => `link add p${i} netns ${lan} type veth peer name up0 netns ${m.netns}`),
  ]);
  await batch(
    [...members.map((_, i) => `p${i}`), 'control'].flatMap((p) => [`link set ${p} master ${BRIDGE}`, `link set ${p} up`]),
    lan,
  );
  await Promise.all(
    members.map((m) =>
      batch(m.bridged ? insideHost(m.address) : [`addr add ${m.address}/16 dev up0`, 'link set up0 up', 'link set lo up'], m.netns),
    ),
  );
};

const insideHost = (address: string): string[] => [
  `link add ${BRIDGE} type bridge mcast_snooping 0`,
  `link set up0 master ${BRIDGE}`,
  'link set up0 up',
  `addr add ${address}/16 dev ${BRIDGE}`,
  `link set ${BRIDGE} up`,
  `link add ${INNER_BRIDGE} type bridge mcast_snooping 0`,
  `link set ${INNER_BRIDGE} up`,
  'link set lo up',
];

/** Removes what runs left that were killed: only namespaces and links that a record of ours names, whose owner is gone. Returns their ids. */
export const sweepFabrics = async (stateDir: string): Promise<string[]> => {
  if (!existsSync(stateDir)) return [];
  const swept: string[] = [];
  for (const name of readdirSync(stateDir).filter((f) => f.endsWith('.json'))) {
    const file = path.join(stateDir, name);
    const record = readRecord(file);
    if (record && startTimeOf(record.owner.pid) === record.owner.startedAt) continue; // its owner lives
    if (record) {
      await remove(record);
      swept.push(record.id);
    }
    rmSync(file, { force: true });
  }
  return swept;
};

const readRecord = (file: string): Record | undefined => {
  try {
    const r = JSON.parse(readFileSync(file, 'utf8')) as Record;
    return r.namespaces.every((n) => n.startsWith('chy-')) && r.link.startsWith('chy') ? r : undefined;
  } catch {
    return undefined; // killed while it was written: nothing had been made yet
  }
};

const remove = async (record: Record): Promise<void> => {
  if (record.userNamespace && record.userNamespace !== ownUserNamespace())
    return void endUserNamespace(record.userNamespace, record.owner.startedAt);
  const there = record.namespaces.filter((n) => existsSync(`/var/run/netns/${n}`) || existsSync(`/run/netns/${n}`));
  for (let round = 0; round < 50; round++) {
    const pids = (await Promise.all(there.map(pidsIn))).flat();
    if (pids.length === 0) break;
    for (const pid of pids) kill(pid);
    await sleep(50);
  }
  await ignoringAbsence(() => exec('ip', ['link', 'delete', record.link]));
  for (const n of there) await ignoringAbsence(() => exec('ip', ['netns', 'delete', n]));
};

const pidsIn = async (netns: string): Promise<number[]> => {
  try {
    return (await exec('ip', ['netns', 'pids', netns])).stdout.split('\n').filter(Boolean).map(Number);
  } catch {
    return [];
  }
};
const kill = (pid: number): void => {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // gone already
  }
};
const ignoringAbsence = async (work: () => Promise<unknown>): Promise<void> => {
  try {
    await work();
  } catch (error) {
    if (!/Cannot find device|No such file or directory/.test(String((error as { stderr?: string }).stderr))) throw error;
  }
};

/** Several `ip` commands in one process: 5 ms instead of 3 ms each. */
const batch = async (lines: readonly string[], netns?: string): Promise<void> => {
  const child = exec('ip', [...(netns ? ['-n', netns] : []), '-batch', '-']);
  child.child.stdin!.on('error', () => undefined); // it ended at once: its exit code and words say why
  child.child.stdin!.end(lines.join('\n') + '\n');
  await child;
};

/** So that several runs stand beside each other: the first 198.18.<r>.1 that this namespace doesn't have. */
const freeThirdByte = (): number => {
  const taken = new Set(Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map((a) => a.address)));
  for (let r = 0; r < 16; r++) if (!taken.has(`198.18.${r}.1`)) return r;
  throw new Error('16 fabrics are up already');
};
