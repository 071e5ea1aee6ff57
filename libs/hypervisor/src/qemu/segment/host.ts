import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { VXLAN_OVERHEAD, type SegmentFacts } from '@chrysalis/contracts';
import { HypervisorError } from '../../errors.ts';

const exec = promisify(execFile);
export const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;

/** A program of the host; its own words are the cause where it fails. */
export const run = async (argv: readonly string[], input?: string): Promise<string> => {
  try {
    const running = exec(argv[0]!, argv.slice(1), { env: { ...process.env, PATH }, timeout: 20_000, maxBuffer: 16 * 1024 * 1024 });
    running.child.stdin?.on('error', () => undefined); // it ended at once: its exit code and words say why
    running.child.stdin?.end(input ?? '');
    return (await running).stdout;
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string };
    const words = (stderr?.trim() || message).slice(0, 1_000);
    throw new HypervisorError('hypervisor.segment_failed', `${argv.slice(0, 3).join(' ')}: ${words}`, { command: argv.join(' ') });
  }
};
export const ip = (...args: string[]): Promise<string> => run(['ip', ...args]);
/** Several at once, one after the other; the first that fails is the end. */
export const ipBatch = (commands: readonly string[]): Promise<string> => run(['ip', '-batch', '-'], `${commands.join('\n')}\n`);
export const isThere = (link: string): boolean => existsSync(`/sys/class/net/${link}`);
export const nft = (text: string): Promise<string> => run(['nft', '-f', '-'], text);

const works = (argv: readonly string[]): Promise<boolean> => run(argv).then(() => true, () => false); // prettier-ignore

const CAP_NET_ADMIN = 12n;
const CAP_SYS_ADMIN = 21n; // for the namespaces of DHCP
const mayChangeNetworks = (): boolean => {
  const caps = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return [CAP_NET_ADMIN, CAP_SYS_ADMIN].every((cap) => ((BigInt(`0x${caps}`) >> cap) & 1n) === 1n);
};

/** The interface that has the host's address; `undefined` of one that no other host reaches. */
const underlayOf = async (address: string): Promise<{ readonly mtu: number } | undefined> => {
  type Link = { readonly ifname?: string; readonly flags?: readonly string[]; readonly mtu: number };
  const links = JSON.parse(await ip('-json', '-4', 'addr', 'show', 'to', `${address}/32`).catch(() => '[]')) as Link[];
  return links.find(({ ifname, flags }) => ifname !== undefined && !flags?.includes('LOOPBACK'));
};

/** What this host carries between hosts, and what it lacks for that. */
export const segmentFacts = async (address: string): Promise<SegmentFacts> => {
  const underlay = await underlayOf(address);
  const mtu = underlay ? underlay.mtu - VXLAN_OVERHEAD : 0;
  const root = mayChangeNetworks();
  const lacking: SegmentFacts['lacking'] = [
    ...(root ? [] : (['root'] as const)),
    ...((await works(['nft', '--version'])) && (!root || (await works(['nft', 'list', 'tables']))) ? [] : (['nft'] as const)),
    ...((await works(['dnsmasq', '--version'])) ? [] : (['dnsmasq'] as const)),
    ...(underlay ? [] : (['underlay'] as const)),
    ...(!root || !underlay || (await hasVxlan(address)) ? [] : (['vxlan'] as const)),
  ];
  return { mtu: lacking.length > 0 ? 0 : mtu, lacking };
};

/** A kernel without it says so. */
const hasVxlan = async (address: string): Promise<boolean> => {
  const probe = `chyp${process.pid}`;
  const made = await works(['ip', 'link', 'add', probe, 'type', 'vxlan', 'id', '16777215', 'local', address, 'dstport', '14789']);
  if (made) await works(['ip', 'link', 'delete', probe]);
  return made;
};
