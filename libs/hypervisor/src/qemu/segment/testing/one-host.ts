import { createInterface } from 'node:readline';
import { Segments } from '../segments.ts';

/** A host's segments in a process of its own, as it has to be in its namespace: a call a line, as `[method, ...arguments]`, and its answer. */
const [stateDir, address] = process.argv.slice(2);
const segments = new Segments(stateDir!, address!);
for await (const line of createInterface({ input: process.stdin })) {
  const [method, ...args] = JSON.parse(line) as [keyof Segments, ...never[]];
  const answer = await Promise.resolve((segments[method] as (...a: never[]) => unknown)(...args)).then(
    (value) => ({ value }),
    (error: unknown) => ({ error: String(error) }),
  );
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
