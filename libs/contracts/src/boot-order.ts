import { z } from 'zod';
import { isDeepStrictEqual } from 'node:util';
import { ROOT_DISK, type Topology } from './shapes.ts';

type Hardware = Pick<Topology, 'image' | 'disks' | 'nics' | 'bootOrder'>;
const byImage = ({ image }: Pick<Topology, 'image'>): readonly string[] => (image.disk ? [ROOT_DISK] : []);
/** What the firmware of such hardware boots from, the first at first. */
export const bootOrderOf = (t: Hardware): readonly string[] => t.bootOrder ?? byImage(t);

const has = ({ disks, nics }: Hardware, id: string): boolean => [...disks, ...nics].some((d) => d.id === id);
/** The same with this order, of what it has; none that is wanted, or there: its image's. */
export const bootingFrom = <T extends Hardware>(
  { bootOrder: _, ...t }: T,
  wanted: readonly string[] = [],
): Omit<T, 'bootOrder'> & { bootOrder?: string[] } => {
  const there = wanted.filter((id) => has(t as unknown as Hardware, id));
  return there.length > 0 ? { ...t, bootOrder: there } : t;
};

/** What a VM does not run on yet, and its next start has: a reboot from inside is none. */
export const Pending = z.object({ what: z.enum(['boot-order']), why: z.string(), now: z.string(), next: z.string() });
export type Pending = z.infer<typeof Pending>;

const said = (order: readonly string[]): string => order.join(',') || 'none';
/** `bootOrder`: what is wanted, where anything was ever. Nothing is pending of one that is off: its next start is its next life. */
export const pendingOf = (
  { bootOrder, topology }: { readonly bootOrder?: readonly string[] | undefined; readonly topology?: Hardware | undefined },
  off: boolean,
): Pending[] => {
  if (!topology || bootOrder === undefined || off) return [];
  const [now, next] = [bootOrderOf(topology), bootOrderOf(bootingFrom(topology, bootOrder))];
  if (isDeepStrictEqual(now, next)) return [];
  const why = 'firmware is told at the start of its QEMU what to boot from; stop and start the VM';
  return [{ what: 'boot-order', why, now: said(now), next: said(next) }];
};
