import type { QgaClient } from './qga.ts';

/** A host's own route to the subnet is that of its first address: the further one is of /32, and takes nothing along when it goes. */
const SCRIPT = (mac: string, address: string, carry: boolean): string => `for i in /sys/class/net/*; do
  [ "$(cat $i/address 2>/dev/null)" = ${mac} ] && d=\${i##*/}
done
[ -n "$d" ] || exit 1
has() { ip -4 addr show dev "$d" | grep -q 'inet ${address}/'; }
${carry ? `has || ip addr add ${address}/32 dev "$d"` : `has && ip addr del ${address}/32 dev "$d"`}
true`;

/**
 * Whether the NIC of that MAC carries the address in the guest, after that was asked for. One that may run no programs is only looked into.
 * Throws a QgaError where nobody answers.
 */
export const qgaCarry = async (
  qga: QgaClient,
  { mac, address }: { readonly mac: string; readonly address: string },
  carry: boolean,
): Promise<boolean> => {
  if (await qga.offers('guest-exec')) await qga.shell(SCRIPT(mac, address, carry)).catch(() => undefined); // what is so then is looked at
  const nic = (await qga.network()).find((n) => n['hardware-address']?.toLowerCase() === mac);
  return (nic?.['ip-addresses'] ?? []).some((a) => a['ip-address'] === address);
};
