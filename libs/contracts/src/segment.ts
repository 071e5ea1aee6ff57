import { z } from 'zod';
import { addressOf, Ipv4, Ipv4Subnet, rangeOf, subnetText } from './ipv4.ts';

/** Of a VXLAN; one network's alone. */
export const Vni = z.int().min(1).max(16_777_215);
/** What VXLAN puts around a frame: outer IPv4, UDP, VXLAN, inner Ethernet. */
export const VXLAN_OVERHEAD = 50;
export const DEFAULT_MTU = 1_450;
export const Mtu = z.int().min(576).max(65_000);

const Port = z.int().min(1).max(65_535);
/**
 * What may come in to a VM from its networks, beside answers to what it asked itself. `ports` of tcp and udp, both ends counted; absent: all.
 * `from`: a subnet; absent: whoever is on the segment.
 */
export const FilterRule = z.strictObject({
  protocol: z.enum(['tcp', 'udp', 'icmp']),
  ports: z
    .strictObject({ first: Port, last: Port })
    .refine(({ first, last }) => first <= last, 'the last port is before the first')
    .optional(),
  from: Ipv4Subnet.refine((text) => subnetText(rangeOf(text)) === text, 'bits are set behind its prefix').optional(),
});
export type FilterRule = z.infer<typeof FilterRule>;
export const FilterRules = z.array(FilterRule).max(32);

/** So many reserved addresses a NIC may have at once. */
export const MOST_FURTHER = 32;

/**
 * What a NIC on a network is beside a NIC. It is part of the hardware, as the file of a disk is: who makes the NIC on another host has all
 * that its segment, its DHCP and its filter need, before the guest runs there.
 */
export const Segment = z.object({
  vni: Vni,
  subnet: Ipv4Subnet,
  address: Ipv4,
  /** Reserved addresses that are bound to the VM, in order; absent: none, so that such hardware has the hash that it always had. */
  further: z.array(Ipv4).min(1).max(MOST_FURTHER).optional(),
  mtu: Mtu,
  allow: FilterRules,
});
export type Segment = z.infer<typeof Segment>;

/** The first address of a subnet: of each host's DHCP on the segment, which answers ping as well and routes nowhere. */
export const gatewayOf = (subnet: string): string => addressOf(rangeOf(subnet).first + 1);

/** What a host says of its segments; `lacking`: why it can carry none. */
export const segmentLacks = ['root', 'nft', 'dnsmasq', 'underlay', 'vxlan'] as const;
export const SegmentFacts = z.object({ mtu: z.int().nonnegative(), lacking: z.array(z.enum(segmentLacks)) });
export type SegmentFacts = z.infer<typeof SegmentFacts>;

/** The largest of those NICs that are on segments, where any is: what asks for a host that carries them. */
export const segmentMtuOf = (nics: readonly { readonly segment?: Segment | undefined }[]): { segmentMtu?: number } => {
  const mtus = nics.flatMap((n) => n.segment?.mtu ?? []);
  return mtus.length > 0 ? { segmentMtu: Math.max(...mtus) } : {};
};
