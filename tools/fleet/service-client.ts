// One keep-alive client outside both hosts, as a process of its own so that nothing else on this machine's event loop counts
// as the service's gap. Usage: service-client.ts PATIENCE_MS URL... (each leads to the one service;
// who answers 421 doesn't have it now, and the next one is asked). Asks until SIGTERM or a closed stdin, then prints what it saw.
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Samples, type Sample } from './samples.ts';

export type ServiceSeen = {
  requests: number;
  errors: number;
  connections: number;
  longestGapMs: number;
  longestGapAt: string;
  lastError?: string;
  p50Ms: number;
  p99Ms: number;
  samples: readonly Sample[];
};

const [patience, ...urls] = process.argv.slice(2);
const PAUSE_MS = 5;
const PATIENCE_MS = Number(patience);
// A guest that stands still answers no probe of TCP either: ten of them, a second apart, would end its connection before our patience does.
const agent = new http.Agent({ keepAlive: true, maxSockets: 1, keepAliveMsecs: PATIENCE_MS });
const sockets = new Set<unknown>();
const latencies: number[] = [];
const samples = new Samples();
const seen: Omit<ServiceSeen, 'samples'> = {
  requests: 0,
  errors: 0,
  connections: 0,
  longestGapMs: 0,
  longestGapAt: '',
  p50Ms: 0,
  p99Ms: 0,
};
let stopping = false;
let lastAnswer = performance.now();

/** The status; rejects when there is none. */
const get = (url: string): Promise<number> =>
  new Promise((resolve, reject) => {
    const request = http.get(url, { agent, timeout: PATIENCE_MS }, (answer) => {
      answer.on('data', () => undefined);
      answer.on('error', reject);
      answer.on('end', () => resolve(answer.statusCode ?? 0));
    });
    request.on('socket', (socket) => sockets.add(socket));
    request.on('timeout', () => request.destroy(new Error(`no answer within ${PATIENCE_MS / 1000} s`)));
    request.on('error', reject);
  });

/** Begins where the last answer came from; what nobody has now is asked for again, as a sender's network would. */
let current = 0;
const ask = async (): Promise<void> => {
  for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await sleep(1)) {
    const status = await get(urls[current]!);
    if (status === 200) return;
    if (status !== 421) throw new Error(`status ${status}`);
    current = (current + 1) % urls.length;
  }
  throw new Error(`no answer within ${PATIENCE_MS / 1000} s`);
};

const longest = (gap: number): void => {
  seen.longestGapMs = Math.round(gap * 10) / 10;
  seen.longestGapAt = new Date().toISOString();
  if (gap > 300 && process.env['CHRYSALIS_LOG'] !== 'error') process.stderr.write(`client gap ${gap} at ${seen.longestGapAt}\n`);
};

const loop = async (): Promise<void> => {
  while (!stopping) {
    const started = performance.now();
    try {
      await ask();
      const now = performance.now();
      latencies.push(now - started);
      samples.add(performance.timeOrigin + now, now - started, false);
      const gap = now - lastAnswer;
      if (seen.requests > 0 && gap > seen.longestGapMs) longest(gap);
      lastAnswer = now;
      seen.requests += 1;
      if (seen.requests === 1) process.stdout.write('{"first":true}\n');
    } catch (error) {
      if (seen.requests === 0) {
        sockets.clear(); // the service is still coming up: what it gives has not begun
        await sleep(20);
        continue;
      }
      const now = performance.now();
      samples.add(performance.timeOrigin + now, now - started, true);
      seen.errors += 1;
      seen.lastError = String(error);
      if (process.env['CHRYSALIS_LOG'] !== 'error') process.stderr.write(`client ${new Date().toISOString()} ${String(error)}\n`);
      await sleep(100);
    }
    await sleep(PAUSE_MS);
  }
  latencies.sort((a, b) => a - b);
  const at = (q: number): number =>
    Math.round((latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * q))] ?? 0) * 10) / 10;
  const saw: ServiceSeen = { ...seen, connections: sockets.size, p50Ms: at(0.5), p99Ms: at(0.99), samples: samples.all() };
  process.stdout.write(`${JSON.stringify(saw)}\n`, () => process.exit(0));
  agent.destroy();
};
const stop = (): void => void (stopping = true);
process.on('SIGTERM', stop);
process.stdin.on('end', stop).on('error', stop).resume();
await loop();
