import { readFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { sections } from '@chrysalis/contracts';
import { Guest, Held } from '../fleet/views.ts';

const Check = z.object({ name: z.string(), ok: z.boolean(), expected: z.unknown(), observed: z.unknown() });
export type Check = { name: string; ok: boolean; expected: unknown; observed: unknown };

const Service = z.object({
  /** What was asked, and who answered. */
  means: z.string(),
  /** Whether a connection can follow the VM. */
  follows: z.boolean(),
  requests: z.int(),
  errors: z.int(),
  connections: z.int(),
  longestGapMs: z.number(),
  p50Ms: z.number(),
  p99Ms: z.number(),
});
const Outcome = z.object({
  id: z.string(),
  state: z.enum(['succeeded', 'undone', 'failed']),
  method: z.enum(['pre-copy', 'post-copy', 'save-and-restore', 'restart']),
  downtimeMs: z.number(),
  totalMs: z.number(),
  transferredBytes: z.int(),
  controlPlaneMs: z.number(),
  cause: z.string().optional(),
});
const Steps = z.array(
  z.object({
    section: z.enum(sections),
    name: z.string(),
    state: z.enum(['done', 'undone', 'failed', 'skipped']),
    ms: z.number(),
    /** Absent for a step that did not run. */
    startedAt: z.iso.datetime().optional(),
  }),
);

/** What `npm run demo -- --json` prints. */
export const DemoReport = z.object({
  chrysalis: z.string(),
  ok: z.boolean(),
  mode: z.enum(['embedded', 'distributed']),
  bus: z.object({ kind: z.enum(['embedded', 'kafka']), version: z.string().optional(), brokers: z.array(z.string()).optional() }),
  database: z.object({ kind: z.literal('postgresql'), version: z.string() }),
  hypervisor: z.object({ driver: z.enum(['qemu', 'simulated']), version: z.string(), accelerator: z.enum(['kvm', 'tcg', 'none']) }),
  network: z.string(),
  /** What was modelled instead of real. */
  simulated: z.array(z.string()).optional(),
  hosts: z
    .array(
      z.object({
        id: z.string(),
        address: z.string(),
        /** Of its hypervisor. */
        version: z.string(),
        traits: z.array(z.string()),
        inventory: z.unknown(),
      }),
    )
    .min(2),
  vm: z.object({ id: z.string(), before: Guest, after: Guest }),
  service: Service,
  options: z.object({ withoutGrant: z.array(z.string()), withGrant: z.array(z.string()) }),
  migration: Outcome,
  steps: Steps,
  /** With --back: the second leg, to the first type on the first host. */
  back: z.object({ before: Guest, after: Guest, service: Service, migration: Outcome, steps: Steps }).optional(),
  events: z.object({ total: z.int(), byContext: z.record(z.string(), z.int()) }),
  ledger: z.array(Held),
  killed: z.string().optional(),
  checks: z.array(Check).min(9),
});
export type DemoReport = z.infer<typeof DemoReport>;

export const version = (JSON.parse(readFileSync(path.resolve(import.meta.dirname, '../../package.json'), 'utf8')) as { version: string })
  .version;

type Observed = Pick<DemoReport, 'vm' | 'service' | 'options' | 'migration' | 'ledger' | 'back'> & {
  driver: DemoReport['hypervisor']['driver'];
  /** Every host that has the VM in any state, as seen past the product, after the (first) move. */
  hostsWithVm: readonly string[];
  /** The same after the way back. */
  hostsAfterBack?: readonly string[] | undefined;
  targetHost: string;
  killed: string | undefined;
  /** What the client may wait for an answer at most. */
  maxGapMs: number;
};

const check = (name: string, expected: unknown, observed: unknown, ok: boolean): Check => ({ name, ok, expected, observed });

const moreOptions = ({ options: { withGrant, withoutGrant } }: Observed): Check => {
  const proper = withGrant.length > withoutGrant.length && withoutGrant.every((x) => withGrant.includes(x));
  return check('more options with a grant', `a proper superset of ${withoutGrant.length}`, withGrant.length, proper);
};
const oneHolds = ({ ledger, vm, back }: Observed): Check => {
  const { after } = back ?? vm;
  const alone = ledger.length > 0 && ledger.every((l) => l.host === after.host);
  return check(
    'the ledger holds one host alone',
    after.host,
    ledger.map((l) => `${l.consumer}@${l.host}`),
    alone,
  );
};

/** The verdict, from what was seen at both ends, in the guest and by the client; never from what a call returned. */
export const judge = (o: Observed): Check[] => {
  const { before: b, after: a } = o.vm;
  const { service: s, migration: m } = o;
  const undone = m.state === 'undone' && o.killed !== undefined;
  const common = [
    check('migration ended', o.killed ? 'succeeded or undone' : 'succeeded', m.state, m.state === 'succeeded' || undone),
    check('same boot', b.bootId, a.bootId, a.bootId === b.bootId),
    check('uptime grew', `> ${b.uptimeSeconds}`, a.uptimeSeconds, a.uptimeSeconds > b.uptimeSeconds),
    check('no request failed', 0, s.errors, s.errors === 0 && s.requests > 50),
    // Where no network leads to the guest, no connection does: there is nothing to check.
    ...(s.follows ? [check('one connection', 1, s.connections, s.connections === 1)] : []),
    check('largest gap', `< ${o.maxGapMs} ms`, s.longestGapMs, s.longestGapMs < o.maxGapMs),
    moreOptions(o),
    oneHolds(o),
  ];
  if (undone)
    return [
      ...common,
      check('undone: type, host and hardware as before', shapeOf(b), shapeOf(a), JSON.stringify(shapeOf(a)) === JSON.stringify(shapeOf(b))),
    ];
  return [
    ...common,
    check('another host', o.targetHost, a.host, a.host === o.targetHost && a.host !== b.host),
    check('another type', `not ${b.type}`, a.type, a.type !== b.type),
    check('vCPUs in the guest', 2, a.vcpus, b.vcpus === 1 && a.vcpus === 2),
    check('memory in the guest', `>= ${b.memoryMiB + 384} MiB`, a.memoryMiB, a.memoryMiB >= b.memoryMiB + 384),
    check('file system grew', `> ${b.fileSystemBytes}`, a.fileSystemBytes, a.fileSystemBytes > b.fileSystemBytes),
    check('a NIC was unplugged', b.nics.length - 1, a.nics.length, a.nics.length === b.nics.length - 1),
    check(
      `the source's ${o.driver === 'qemu' ? 'QEMU' : 'simulated VM'} is gone`,
      [o.targetHost],
      o.hostsWithVm,
      o.hostsWithVm.length === 1 && o.hostsWithVm[0] === o.targetHost,
    ),
  ];
};
/** The way back: the same boot, as it was and where it was, but for a disk that grew. */
export const judgeBack = (o: Observed): Check[] => {
  const { back, vm } = o;
  if (!back) return [];
  const { after: home, service: s, migration: m } = back;
  const first = vm.before;
  const same = (name: string, expected: unknown, observed: unknown): Check =>
    check(`back: ${name}`, expected, observed, expected === observed);
  return [
    same('migration ended', 'succeeded', m.state),
    same('same boot', first.bootId, home.bootId),
    check('back: uptime grew', `> ${vm.after.uptimeSeconds}`, home.uptimeSeconds, home.uptimeSeconds > vm.after.uptimeSeconds),
    same('type and host', `${first.type} @ ${first.host}`, `${home.type} @ ${home.host}`),
    same('vCPUs in the guest', first.vcpus, home.vcpus),
    same('memory in the guest', first.memoryMiB, home.memoryMiB),
    same('NICs', first.nics.length, home.nics.length),
    same('no request failed', 0, s.errors),
    ...(s.follows ? [same('one connection', 1, s.connections)] : []),
    check('back: largest gap', `< ${o.maxGapMs} ms`, s.longestGapMs, s.longestGapMs < o.maxGapMs),
    check('back: one host has it', [first.host], o.hostsAfterBack, JSON.stringify(o.hostsAfterBack) === JSON.stringify([first.host])),
  ];
};
const shapeOf = (g: Guest): object => ({ type: g.type, host: g.host, vcpus: g.vcpus, memoryMiB: g.memoryMiB, nics: g.nics });
