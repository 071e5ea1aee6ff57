import { GuestError, type GuestFacts, type GuestInput } from '@chrysalis/contracts';
import { readFacts } from '../guest/facts.ts';
import type { Guest } from '../guest/guest.ts';

type Difference = { readonly what: string; readonly expected: unknown; readonly found: unknown };

/** Delivered, not requested: every difference at once. */
export const differences = (expect: GuestInput<'verify'>['expect'], facts: GuestFacts): Difference[] => {
  const found: Difference[] = [];
  const same = (what: string, expected: unknown, is: unknown): void => {
    if (expected !== undefined && expected !== is) found.push({ what, expected, found: is });
  };
  same('bootId', expect.bootId, facts.bootId);
  same('vcpus', expect.vcpus, facts.vcpus);
  same('memoryMiB', expect.memoryMiB, facts.memoryMiB);
  for (const { serial, minBytes } of expect.disks ?? []) {
    const disk = facts.disks.find((d) => d.serial === serial);
    if (!disk || disk.bytes < minBytes) found.push({ what: `disk ${serial}`, expected: minBytes, found: disk?.bytes ?? 'missing' });
  }
  const surplus = expect.disks ? facts.disks.filter((d) => !expect.disks!.some((e) => e.serial === d.serial)) : [];
  for (const d of surplus) found.push({ what: `disk ${d.serial}`, expected: 'gone', found: d.bytes });
  if (expect.macs) same('macs', [...expect.macs].sort().join(' '), [...facts.nics].sort().join(' '));
  return found;
};

export const verify = async (guest: Guest, expect: GuestInput<'verify'>['expect']): Promise<{ facts: GuestFacts }> => {
  const facts = await readFacts(guest);
  const found = differences(expect, facts);
  if (found.length === 0) return { facts };
  const text = found.map((d) => `${d.what}: expected ${String(d.expected)}, found ${String(d.found)}`).join('; ');
  throw new GuestError('guest.not_delivered', text, { differences: found, facts });
};
