import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { HypervisorError } from '../../errors.ts';
import { ip, ipBatch, isThere, PATH } from './host.ts';

export type Announcement = { readonly bridge: string; readonly mtu: number; readonly mac: string; readonly address: string };

/** A frame may be lost, and a peer that is busy hears the second one. */
const AGAIN_MS = [100, 300, 600];
/**
 * The kernel says by itself which address a link has each time it comes up (`arp_notify`). That link is a bridge over the cable: a cable that
 * went down and up would be no port of the other bridge for a moment, and be heard by nobody. A line for each time; without more it ends.
 */
const SPEAKER = (mac: string, address: string): string =>
  [
    'echo 1 > /proc/sys/net/ipv4/conf/default/arp_notify',
    `ip link add br0 address ${mac} type bridge forward_delay 0 mcast_snooping 0 && ip addr add ${address}/32 dev br0`,
    'echo ready && read go && ip link set eth0 master br0 up && echo wired',
    'read go && ip link set br0 up && echo said',
    'while read go; do ip link set br0 down; ip link set br0 up; done',
  ].join(' && ');

/**
 * Has whoever is on a segment take the address for that of this MAC: without it a Linux peer goes on for seconds to the MAC that had it before.
 * It was said once when this returns, and is said again after, until `silence` or this process ends.
 *
 * Said by a kernel, in a network namespace made for it, over a cable to the bridge whose port learns nothing: the MAC's place stays its tap.
 * Namespace and cable are the speaker's, and end with it.
 */
export const announce = async ({ bridge, mtu, mac, address }: Announcement): Promise<{ readonly silence: () => void }> => {
  const cable = `chya${createHash('sha256').update(`${bridge} ${mac} ${address}`).digest('hex').slice(0, 10)}`;
  const speaker = spawn('unshare', ['--net', 'sh', '-c', SPEAKER(mac, address)], {
    env: { ...process.env, PATH },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const over = new AbortController();
  const ended = new Promise<void>((resolve) => speaker.once('exit', () => resolve()).once('error', () => resolve()));
  void ended.then(() => over.abort());
  speaker.stdin.on('error', () => undefined); // it ended
  const silence = (): void => void speaker.kill('SIGKILL');
  try {
    await heard(speaker.stdout, 'ready', ended);
    if (isThere(cable)) await ip('link', 'delete', 'dev', cable).catch(() => undefined); // of one that has just ended
    await ipBatch([
      `link add ${cable} mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${speaker.pid}`,
      `link set ${cable} master ${bridge}`,
      `link set ${cable} type bridge_slave learning off`,
      `link set ${cable} up`,
    ]);
    speaker.stdin.write('go\n');
    await heard(speaker.stdout, 'wired', ended);
    await forwards(cable);
    speaker.stdin.write('go\n');
    await heard(speaker.stdout, 'said', ended);
  } catch (error) {
    silence();
    throw error;
  }
  void again(speaker.stdin, over.signal);
  return { silence };
};

const again = async (speaker: NodeJS.WritableStream, signal: AbortSignal): Promise<void> => {
  for (const ms of AGAIN_MS) {
    await sleep(ms, undefined, { signal, ref: false }).catch(() => undefined);
    speaker.write('go\n');
  }
  speaker.end();
};

const heard = async (from: NodeJS.ReadableStream, word: string, ended: Promise<void>): Promise<void> => {
  const said = await Promise.race([once(from, 'data').then(String), ended]);
  if (!said?.includes(word)) throw new HypervisorError('hypervisor.segment_failed', `an address could not be announced: not ${word}`);
};

const FORWARDING = '3';
/** A port carries frames a moment after its cable has somebody at its other end. */
const forwards = async (cable: string): Promise<void> => {
  const until = performance.now() + 2_000;
  const state = (): Promise<string> => readFile(`/sys/class/net/${cable}/brport/state`, 'utf8').then((text) => text.trim());
  while ((await state()) !== FORWARDING) {
    if (performance.now() > until) throw new HypervisorError('hypervisor.segment_failed', `${cable} is no port of its bridge`);
    await sleep(2);
  }
};
