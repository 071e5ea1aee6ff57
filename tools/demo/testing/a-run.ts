import type { Guest } from '../../fleet/views.ts';
import type { DemoReport } from '../report.ts';
import type { Sample } from '../../fleet/samples.ts';
import type { Timeline } from '../timeline.ts';

/** The moment of the request in `timeline`, in ms since 1970. */
export const T0 = 1_800_000_000_000;

const guest: Guest = {
  type: 'small@1',
  host: 'rack1-old',
  bootId: '7544c10b-0000-4000-8000-000000000000',
  uptimeSeconds: 6.9,
  vcpus: 1,
  memoryMiB: 512,
  disks: [],
  fileSystemBytes: 100 * 1_048_576,
  nics: ['52:54:00:00:10:01', '52:54:00:01:10:02'],
};

/** A report with what a picture is made of; three steps, all done. */
export const report = (changes: Partial<DemoReport> = {}): DemoReport => ({
  chrysalis: '0.1.0',
  ok: true,
  mode: 'embedded',
  bus: { kind: 'embedded' },
  database: { kind: 'postgresql', version: '18' },
  hypervisor: { driver: 'qemu', version: '7.2', accelerator: 'tcg' },
  network: 'a network namespace per host',
  hosts: [],
  vm: { id: 'vm-1', before: guest, after: { ...guest, type: 'large@1', host: 'rack2-new', vcpus: 2, memoryMiB: 1024, uptimeSeconds: 10 } },
  service: {
    means: 'HTTP requests to the guest',
    follows: true,
    requests: 900,
    errors: 0,
    connections: 1,
    longestGapMs: 290.2,
    p50Ms: 1.6,
    p99Ms: 12,
  },
  options: { withoutGrant: [], withGrant: [] },
  migration: {
    id: 'mig-1',
    state: 'succeeded',
    method: 'pre-copy',
    downtimeMs: 67.2,
    totalMs: 602,
    transferredBytes: 171 * 1_048_576,
    controlPlaneMs: 250,
  },
  steps: [
    { section: 'prepare', name: 'hold-target', state: 'done', ms: 40 },
    { section: 'migration', name: 'transfer', state: 'done', ms: 600 },
    { section: 'verify', name: 'verify-guest', state: 'done', ms: 100 },
  ],
  events: { total: 204, byContext: {} },
  ledger: [],
  checks: [],
  ...changes,
});

const span = (from: number, ms: number): { from: number; to: number } => ({ from: T0 + from, to: T0 + from + ms });

/** 2000 ms, with an answer each 10 ms but for a gap from 1000 to 1290. */
export const timeline = (changes: Partial<Timeline> = {}): Timeline => ({
  requestedAt: T0,
  endedAt: T0 + 2000,
  steps: new Map([
    ['hold-target', { ran: span(50, 40) }],
    ['transfer', { ran: span(500, 600) }],
    ['verify-guest', { ran: span(1800, 100) }],
  ]),
  stopped: span(1000, 67),
  samples: Array.from({ length: 300 }, (_, i): Sample => [T0 - 500 + i * 10, 1.5, 0]).filter(([at]) => at <= T0 + 1000 || at >= T0 + 1290),
  longestGap: span(1000, 290.2),
  ...changes,
});
