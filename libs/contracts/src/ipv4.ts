import { z } from 'zod';

/** IPv4 addresses and subnets as text, and as the numbers that they are. */
const OCTET = '(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])';
export const Ipv4 = z.string().regex(new RegExp(`^${OCTET}(\\.${OCTET}){3}$`), 'an IPv4 address');
/** `10.7.0.0/24`; that no bit is set behind its prefix is judged by who takes it. */
export const Ipv4Subnet = z.string().regex(new RegExp(`^${OCTET}(\\.${OCTET}){3}/(3[0-2]|[12]?[0-9])$`), 'a subnet, as 10.7.0.0/24');

export const numberOf = (address: string): number => address.split('.').reduce((n, part) => n * 256 + Number(part), 0);
export const addressOf = (n: number): string => [24, 16, 8, 0].map((bits) => Math.floor(n / 2 ** bits) % 256).join('.');

/** `first` is the network's own address, `last` its broadcast. */
export type Range = Readonly<{ first: number; last: number; prefix: number }>;
export const rangeOf = (subnet: string): Range => {
  const [address = '', bits = ''] = subnet.split('/');
  const prefix = Number(bits);
  const size = 2 ** (32 - prefix);
  const first = Math.floor(numberOf(address) / size) * size;
  return { first, last: first + size - 1, prefix };
};
export const within = ({ first, last }: Range, n: number): boolean => n >= first && n <= last;
export const overlap = (a: Range, b: Range): boolean => a.first <= b.last && b.first <= a.last;
export const subnetText = ({ first, prefix }: Range): string => `${addressOf(first)}/${prefix}`;
export const netmaskOf = ({ prefix }: Range): string => addressOf(2 ** 32 - 2 ** (32 - prefix));
