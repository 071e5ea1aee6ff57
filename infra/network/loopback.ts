import type { Fabric } from './fabric.ts';

/**
 * No network at all, with the shape of one: each host is a loopback address, and nothing has to be made, privileged or removed. A
 * guest's NICs lead nowhere. Runs stand beside each other, since every port is taken as it is free.
 */
export const loopbackFabric = (o: { readonly id: string; readonly hosts: readonly { readonly name: string }[] }): Fabric => {
  const inside = (argv: readonly string[]): string[] => [...argv];
  const member = (name: string, n: number) => ({ name, netns: '', address: `127.18.0.${n}`, inside });
  return {
    id: o.id,
    hosts: o.hosts.map(({ name }, i) => ({ ...member(name, 11 + i), bridge: 'isolated', innerBridge: 'isolated' })),
    client: member('client', 250),
    controlAddress: '127.0.0.1',
    teardown: async () => undefined,
  };
};
