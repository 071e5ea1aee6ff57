import { randomInt } from 'node:crypto';
import { hasCode } from '../../errors.ts';
import type { DiskCopies } from '../../driver.ts';
import type { Vm } from '../vm.ts';
import { addSecret, copyName, dropNodes, dropSecret, partOf, TLS } from './names.ts';

/** Where the system gives out ports by itself; QEMU does not say which one it took, so that one is chosen here. */
const PORTS = { from: 49_152, to: 65_535 } as const;
const ATTEMPTS = 32;

/**
 * Opens the disks of a VM that waits for its stream to its source, and says where. Only who has the secret gets in (TLS, a key that both
 * ends know), and only until the VM is continued or gone. An export takes the disk from the stream's rule that nobody writes yet.
 */
export const openCopies = async (vm: Vm, host: string, { volumes, secret }: DiskCopies): Promise<string> => {
  await addSecret(vm, secret, 'server');
  const address = await startServer(vm, host, volumes.length);
  for (const [nr, volume] of volumes.entries()) {
    const id = copyName(nr);
    const { node, pool, readOnly } = partOf(vm.topology, volume);
    // What the guest may only read is written through a node beside its own, while it stands still.
    if (readOnly) {
      const filename = vm.parts.volumes.path(pool, volume);
      await vm.qmp.execute('blockdev-add', { driver: 'file', 'node-name': id, filename, locking: 'off', 'read-only': false });
    }
    await vm.qmp.execute('block-export-add', { type: 'nbd', id, 'node-name': readOnly ? id : node, name: volume, writable: true });
  }
  return address;
};

const startServer = async (vm: Vm, host: string, disks: number): Promise<string> => {
  for (let attempt = 1; ; attempt++) {
    const port = randomInt(PORTS.from, PORTS.to + 1);
    const addr = { type: 'inet', data: { host, port: String(port) } };
    try {
      await vm.qmp.execute('nbd-server-start', { addr, 'tls-creds': TLS, 'max-connections': 2 * disks });
      return `tcp:${host.includes(':') ? `[${host}]` : host}:${port}`;
    } catch (error) {
      if (attempt === ATTEMPTS || !hasCode(error, 'hypervisor.qmp_refused') || !/in use|find available/i.test((error as Error).message))
        throw error;
    }
  }
};

/**
 * Nobody writes to the disks but the guest from now on. Not waited for: QEMU takes commands in their order, so that the `cont` behind it comes
 * after the end of the server.
 */
export const closeCopies = async (vm: Vm): Promise<void> => {
  await vm.qmp.execute('nbd-server-stop').catch(() => undefined);
  await dropNodes(vm.qmp).catch(() => undefined);
  await dropSecret(vm).catch(() => undefined);
};
