import { createInterface } from 'node:readline';
import { QemuDriver } from '../../driver.ts';

/** A host in a process of its own, as it has to be in its namespace: a call a line, as `[method, ...arguments]`, and its answer. */
const [stateDir, address, pool, kernel, initrd] = process.argv.slice(2) as [string, string, string, string, string];
const driver = new QemuDriver({
  ...{ stateDir, address, networks: {} },
  pools: { shared: { directory: pool, shared: true } },
  resolveImage: async () => ({ kernel, initrd }),
});
for await (const line of createInterface({ input: process.stdin })) {
  const [method, ...args] = JSON.parse(line) as [keyof QemuDriver, ...never[]];
  const answer = await Promise.resolve((driver[method] as (...a: never[]) => unknown)(...args)).then(
    (value) => ({ value }),
    (error: unknown) => ({ error: String(error) }),
  );
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
