import { describe, expect, test } from '@jest/globals';
import { allTasks, topologyHash, type TaskContract, type TemplateStep, type Topology } from '@chrysalis/contracts';
import { expectEveryStepFails } from '@chrysalis/testing';
import { templateFromOption } from '../from-option.ts';
import { AT, facts, found, large, largeType, small, smallType, topology, vm } from '../test/fixtures.ts';
import { everyShape, inputOf } from '../test/shapes.ts';
import { compileMove } from './compile-move.ts';
import type { MoveInput } from './context.ts';
import { compileQuery } from './compile-query.ts';

// Every task fails at every attempt in every way, runs twice, loses its report; so does each undo. What each executor gets must be
// what its kind takes: a reference that leads nowhere shows here.

const shaped = (t: Topology = topology()) => ({ topology: t, topologyHash: topologyHash(t) });
const guestFacts = {
  bootId: '0199c0de-0000-4000-8000-000000000001',
  uptimeSeconds: 1,
  os: { id: 'x', version: '1', kernel: '6' },
  vcpus: 1,
  memoryMiB: 512,
  disks: [],
  fileSystems: [],
  nics: [],
};
const outputs: Record<string, Record<string, unknown>> = {
  'allocation.place': { hostId: 'h2', address: '10.0.0.2', generation: 3 },
  'vm.begin-move': { epoch: 1, newEpoch: 2, ...shaped() },
  'host.preflight': { blockers: [], facts: facts('h1') },
  'host.plug': shaped(),
  'host.unplug': shaped(),
  'host.resize-disk': shaped(),
  'host.prepare-target': { migrationAddress: 'tcp:10.0.0.2:4444', peerAddress: '10.0.0.2:7000', peerToken: 'secret' },
  'host.transfer': { downtimeMs: 20, totalMs: 900, transferredBytes: 1000, stoppedAt: AT, resumedAt: AT },
  'host.confirm-target': shaped(),
  'host.await-memory': { wholeAt: AT },
  'host.announce': { announcedAt: AT, late: false },
  'host.add-agent': { ...shaped(), agentVersion: '0.1.0' },
  'host.remove-agent': shaped(),
  'migration.await-approval': { approved: true, by: 'user:anna' },
  'guest.facts': { facts: guestFacts },
  'guest.verify': { facts: guestFacts },
  'guest.run-script': { exitCode: 0, stdout: '', stderr: '', truncated: false, ms: 1 },
  'guest.online-cpus': { online: 2 },
  'guest.offline-cpus': { online: 1 },
  'guest.online-memory': { onlineMiB: 1024 },
  'guest.grow-filesystem': { beforeBytes: 1, afterBytes: 2 },
  'guest.characterise': { characterisation: found('vm-1') },
};
const executors = Object.fromEntries(
  (Object.values(allTasks) as TaskContract[]).map((contract) => {
    const output = contract.output.safeParse(outputs[contract.kind] ?? {}); // once: it is the same at each of 100,000 executions
    const fits = new Set<string>(); // inputs that were looked at: most come again and again
    return [
      contract.kind,
      (input: Readonly<Record<string, unknown>>) => {
        const text = JSON.stringify(input);
        if (!fits.has(text)) contract.input.parse(input);
        fits.add(text);
        if (!output.success) throw output.error;
        return output.data as Record<string, unknown>;
      },
    ];
  }),
);

/** Text of people that looks like a reference must arrive as it is. */
const odd: Topology = { ...topology(), cpuModel: '${tasks.x}', image: { ...topology().image, cmdline: 'a=${b}' } };

const script = (name: string): TemplateStep => ({ kind: 'guest-script', name, script: 'echo ${HOME}', undo: 'echo back', timeoutMs: 5000 });
const input = (move: boolean): MoveInput => ({
  migrationId: 'mig-1',
  moveId: 'mov-1',
  template: {
    ref: { name: 'grow', version: 1 },
    spec: templateFromOption(
      { targetType: largeType.ref, move, method: 'pre-copy', newResources: 'expose', augmentation: [] },
      smallType.ref,
      small,
      large,
      { preMigration: [script('quiesce')], postMigration: [script('announce')] },
    ),
  },
  vm: vm({ topology: odd }),
  target: { hostId: move ? 'h2' : 'h1', spec: large },
  guest: true,
  offlines: false,
});

/** The same with a CPU plugged, and a NIC rewired, while it stands still, and a script before its place is announced. */
const inTheMiddle = (): MoveInput => {
  const made = input(true);
  const { spec } = made.template;
  const cpus = spec.hotPlug.find((s) => s.kind === 'plug-cpus')!;
  const midMigration = {
    withinMs: 6000,
    stopped: [cpus, { kind: 'rewire-nic' as const, name: 'rewire', nic: 'main', network: 'back' }],
    running: [script('relink')],
  };
  const hotPlug = spec.hotPlug.filter((s) => s !== cpus);
  return { ...made, template: { ...made.template, spec: { ...spec, midMigration, hotPlug } } };
};

/** A move with an agent that does this and no more. */
const moveThat = (does: { shrinks?: string[]; offlines?: boolean }) =>
  everyShape.find(
    ({ move, guest, already, unplugs, grows, scripts, shrinks, offlines, asks }) =>
      move &&
      !asks &&
      guest &&
      !already &&
      !unplugs &&
      grows.length + scripts.length === 0 &&
      String(shrinks) === String(does.shrinks ?? []) &&
      offlines === (does.offlines ?? false),
  )!;

describe('every step fails', () => {
  test.each([
    ['a move', compileMove(input(true))],
    ['a morph', compileMove(input(false))],
    ['a move with work in its middle', compileMove(inTheMiddle())],
    ['a move that somebody approves of', compileMove(inputOf(everyShape.find((s) => s.asks && s.guest && s.grows.length === 0)!))],
    ['a restart that somebody approves of', compileMove(inputOf(everyShape.find((s) => s.asks && s.restarts)!))],
    ['a move that changes nothing', compileMove(inputOf(moveThat({})))],
    ['a move that gives CPUs back', compileMove(inputOf(moveThat({ shrinks: ['cpus'] })))],
    ['a move that offlines CPUs', compileMove(inputOf(moveThat({ shrinks: ['cpus'], offlines: true })))],
    ['a move that gives memory back', compileMove(inputOf(moveThat({ shrinks: ['memory'] })))],
    [
      'an options query',
      compileQuery({
        queryId: 'qry-1',
        vms: [vm({ topology: odd }), vm({ vmId: 'vm-2' })],
        grant: { jws: 'signed', package: `sha256:${'b'.repeat(64)}` },
        at: AT,
      }),
    ],
  ])('%s ends with the true first cause, and undone leaves nothing', (_, compiled) => {
    const report = expectEveryStepFails({ ...compiled, executors, seeds: 4 });
    expect(report.scenarios).toBeGreaterThan(40);
  });
});
