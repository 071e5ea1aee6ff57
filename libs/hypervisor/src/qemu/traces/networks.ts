import { readdirSync, readFileSync } from 'node:fs';
import type { Trace } from '@chrysalis/contracts';
import { run } from '../segment/host.ts';

const NET = '/sys/class/net';
const TAP = /^chyt[0-9a-f]{10}$/;
const SEGMENT = /^chy[bdv]([1-9][0-9]{0,7})$/;

const names = (directory: string): string[] => {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
};
const read = (file: string): string => {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return '';
  }
};
const indexOf = (link: string): string => read(`${NET}/${link}/ifindex`);

/** Somebody has it open: a QEMU, whoever started that. */
export const inUse = (tap: string): boolean => read(`${NET}/${tap}/carrier`) === '1';
/** What is a port of a segment's bridge and none of ours. */
export const strangersOn = (bridge: string): string[] => names(`${NET}/${bridge}/brif`).filter((p) => !TAP.test(p) && !SEGMENT.test(p));

/** The taps that have a filter. A host without nft has none. */
export const filteredTaps = async (): Promise<string[]> => {
  const chains = await run(['nft', 'list', 'chains', 'bridge']).catch(() => '');
  return [...new Set([...chains.matchAll(/chain (?:from|to)_(chyt[0-9a-f]{10})\b/g)].map((m) => m[1]!))];
};

/** `ownerOf`: as far as this host knows; a tap's name alone is told by whoever knows all VMs. */
export const nicTraces = async (ownerOf: (tap: string) => string | undefined): Promise<Trace[]> => {
  const filtered = await filteredTaps();
  const taps = new Set([...names(NET).filter((n) => TAP.test(n)), ...filtered]);
  return [...taps].sort().map((tap) => {
    const vmId = ownerOf(tap);
    const print = `${indexOf(tap)}${filtered.includes(tap) ? '+filter' : ''}`;
    return { kind: 'nic', id: tap, bytes: 0, print, ...(vmId === undefined ? {} : { vmId }) };
  });
};

/** A segment of which there is a link, or that has a record. */
export const segmentTraces = (recorded: readonly number[]): Trace[] => {
  const linked = names(NET).flatMap((n) => SEGMENT.exec(n)?.[1] ?? []);
  const vnis = new Set([...linked.map(Number), ...recorded]);
  return [...vnis].sort((a, b) => a - b).map((vni) => ({
    ...{ kind: 'segment', id: `${vni}`, vni, bytes: 0 } as const,
    print: ['chyb', 'chyv'].map((kind) => indexOf(`${kind}${vni}`)).join('-') || '-',
  })); // prettier-ignore
};
