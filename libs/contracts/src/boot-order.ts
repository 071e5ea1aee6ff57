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
