import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { guestTasks, hostTasks, type GuestFacts, type OutputOf, type Topology } from '@chrysalis/contracts';
import { sweepStateDir } from '@chrysalis/hypervisor';
import { onQemu, testTenant, until } from '@chrysalis/testing';
import { ensureAgentPackage } from '../../../../infra/guest/agent-package.ts';
import { ensureGuestImage } from '../../../../infra/guest/image.ts';
import { createFabric, type Fabric } from '../../../../infra/network/fabric.ts';
import { Fleet } from '../test/fleet.ts';

const cacheDir = new URL('../../../../.cache', import.meta.url).pathname;
/** Of what a serial number and a block node cannot hold. */
const DATA = 'the-one-disk-with-all-that-there-is-of-this-tenant';
const spec = {
  vcpus: { now: 1, max: 4 },
  memoryMiB: { now: 384, max: 1024 },
  disks: [{ id: DATA, sizeMiB: 64 }],
  nics: [{ id: 'nic0', network: 'lan' }],
  cpuModel: 'Westmere',
  requiredTraits: [],
};
type Shaped = { topology: Topology; topologyHash: string };
const shapedOf = ({ topology, topologyHash }: Shaped): Shaped => ({ topology, topologyHash });

onQemu('two hosts, real QEMU, agents in network namespaces of their own', () => {
  let fabric: Fabric;
  let fleet: Fleet;
  let jws: string;
  let digest: string;
  let shown: Shaped;
  let before: GuestFacts;
  let image: { name: string; version: number; digest: string; cmdline: string };
  const vmId = `vm-${randomUUID()}`;
  const stateOf = (hostId: string): { role: string; epoch: number } =>
    JSON.parse(readFileSync(join(fleet.dir, hostId, 'agent/vms', `${vmId}.json`), 'utf8')) as { role: string; epoch: number };
  const prepare = (hostId: string, epoch: number, moveId: string): Promise<OutputOf<typeof hostTasks.prepareTarget>> =>
    fleet.must(hostTasks.prepareTarget, hostId, { vmId, epoch, moveId, tenant: 'acme', ...shown });
  const transferring = (epoch: number, newEpoch: number, moveId: string, target: object, maxBandwidthMiBps = 1024) => ({
      vmId, epoch, newEpoch, moveId, method: 'pre-copy', downtimeLimitMs: 300, maxBandwidthMiBps, ...target,
    }); // prettier-ignore
  const sameGuest = async (hostId: string, epoch: number): Promise<GuestFacts> => {
    const { facts } = await fleet.must(guestTasks.verify, hostId, {
      vmId,
      epoch,
      ifThere: true,
      expect: { bootId: before.bootId, vcpus: 2 },
    });
    expect(facts!.uptimeSeconds).toBeGreaterThan(before.uptimeSeconds);
    return facts!;
  };

  /** Whether an agent is in the guest, as a move's preflight says it. */
  const agentAt = async (hostId: string, epoch: number, { topology, topologyHash }: Shaped): Promise<string | undefined> =>
    (
      await fleet.must(hostTasks.preflight, hostId, {
        vmId,
        epoch,
        role: 'source',
        topology,
        topologyHash,
        targetSpec: spec,
        guest: 'wanted',
      })
    ).agent;

  beforeAll(async () => {
    const key = await testTenant();
    const [guest, agent] = await Promise.all([ensureGuestImage({ cacheDir, trustedKeys: [key.jwk] }), ensureAgentPackage({ cacheDir })]);
    fabric = await createFabric({
      id: `ha${process.pid % 10_000}`,
      hosts: [{ name: 'h1' }, { name: 'h2' }],
      stateDir: join(cacheDir, 'fabrics'),
    });
    fleet = await Fleet.open(`${fabric.controlAddress}:0`);
    const store = join(fleet.dir, 'images', 'linux');
    mkdirSync(store, { recursive: true });
    const files = { kernel: 'kernel', initrd: 'initrd' };
    symlinkSync(guest.kernel, join(store, files.kernel));
    symlinkSync(guest.initrd, join(store, files.initrd));
    writeFileSync(join(store, 'manifest.json'), JSON.stringify({ digest: guest.digest, files }));
    mkdirSync(join(fleet.dir, 'packages'));
    symlinkSync(agent.file, join(fleet.dir, 'packages', `${agent.digest.replace(':', '-')}.squashfs`));
    image = { name: 'linux', version: 1, digest: guest.digest, cmdline: guest.cmdline };
    digest = agent.digest;
    jws = await fleet.grant([vmId], [digest], key);
    for (const host of fabric.hosts)
      await fleet.host({
        hostId: host.name,
        driver: 'qemu',
        address: host.address,
        networks: { lan: host.bridge },
        imageStore: join(fleet.dir, 'images'),
        packageStore: join(fleet.dir, 'packages'),
        inside: host.inside,
      });
  });
  beforeEach(() => fleet.fail({}));
  afterAll(async () => {
    const dir = fleet?.dir;
    await fleet?.stop(() => Promise.all(['h1', 'h2'].map((h) => sweepStateDir(join(dir!, h, 'qemu')))));
    await fabric?.teardown();
  });

  test('a VM boots, gets the agent and a CPU, moves, and is the same guest', async () => {
    const booted = await fleet.must(hostTasks.bootVm, 'h1', {
        vmId, epoch: 1, uuid: randomUUID(), tenant: 'acme', spec, image, pool: 'shared', waitForGuest: true,
        nics: [{ id: 'nic0', mac: '52:54:00:aa:77:01', network: 'lan' }],
      }); // prettier-ignore
    expect(await agentAt('h1', 1, booted)).toBe('away');
    const added = await fleet.must(hostTasks.addAgent, 'h1', { vmId, epoch: 1, grant: jws, package: digest });
    expect(added.agentVersion).toMatch(/^[0-9]/);
    expect(await agentAt('h1', 1, added)).toBe('there');
    const device = { kind: 'cpu', id: 'cpu1', coreId: 1 };
    shown = shapedOf(await fleet.must(hostTasks.plug, 'h1', { vmId, epoch: 1, device }));
    expect(await fleet.must(guestTasks.onlineCpus, 'h1', { vmId, epoch: 1, vcpus: 2 })).toEqual({ online: 2 });
    before = (await fleet.must(guestTasks.facts, 'h1', { vmId, epoch: 1 })).facts;
    const target = await prepare('h2', 2, 'mov-1');
    const figures = await fleet.must(hostTasks.transfer, 'h1', transferring(1, 2, 'mov-1', target));
    process.stderr.write(`transfer: ${JSON.stringify(figures)}\n`);
    expect(figures.downtimeMs).toBeLessThan(10_000);
    expect(figures.transferredBytes).toBeGreaterThan(1_000_000);
    await fleet.must(hostTasks.confirmTarget, 'h2', { vmId, epoch: 2, moveId: 'mov-1', topologyHash: shown.topologyHash });
    await sameGuest('h2', 2);
    await fleet.must(hostTasks.releaseSource, 'h1', { vmId, epoch: 1, moveId: 'mov-1' });
  });

  test('the source’s agent is killed with the stream in flight: back to life it cancels, and the guest runs where it was', async () => {
    const target = await prepare('h1', 3, 'mov-2');
    const task = await fleet.begin(hostTasks.transfer, 'h2', transferring(2, 3, 'mov-2', target, 8));
    await new Promise((done) => setTimeout(done, 1_500));
    await fleet.kill('h2');
    await fleet.start('h2');
    expect(await fleet.reported(task)).toMatchObject({ ok: false, cause: { code: 'host.transfer_interrupted' } });
    expect(stateOf('h2')).toMatchObject({ role: 'runner', epoch: 2 });
    await fleet.must(hostTasks.discardTarget, 'h1', { vmId, epoch: 3, moveId: 'mov-2' });
    await sameGuest('h2', 2);
  });

  test('the source’s agent is killed after its fence: back to life it delivers the receipt, and the guest runs on the target', async () => {
    const target = await prepare('h1', 4, 'mov-3');
    fleet.fail({ 'host:transfer:fenced': { action: 'exit', where: { hostId: 'h2' } } });
    const task = await fleet.begin(hostTasks.transfer, 'h2', transferring(2, 4, 'mov-3', target));
    await fleet.ended('h2');
    fleet.fail({});
    await fleet.start('h2');
    expect(await fleet.reported(task)).toMatchObject({ ok: true });
    expect([stateOf('h2').role, stateOf('h1').role]).toEqual(['fenced', 'runner']);
    await fleet.must(hostTasks.releaseSource, 'h2', { vmId, epoch: 2, moveId: 'mov-3' });
    await sameGuest('h1', 4);
  });

  test('the target’s agent is killed between its record and the guest’s first step: back to life it continues the guest', async () => {
    const target = await prepare('h2', 5, 'mov-4');
    fleet.fail({ 'host:receipt:recorded': { action: 'exit', where: { hostId: 'h2' } } });
    const task = await fleet.begin(hostTasks.transfer, 'h1', transferring(4, 5, 'mov-4', target));
    await fleet.ended('h2');
    fleet.fail({});
    await fleet.start('h2');
    expect(await fleet.reported(task)).toMatchObject({ ok: true });
    await sameGuest('h2', 5);
    await fleet.must(hostTasks.releaseSource, 'h1', { vmId, epoch: 4, moveId: 'mov-4' });
  });

  test('its disk grows, and the file system on it, whatever it is called', async () => {
    await fleet.must(hostTasks.resizeDisk, 'h2', { vmId, epoch: 5, disk: DATA, sizeMiB: 96 });
    const { afterBytes } = await fleet.must(guestTasks.growFileSystem, 'h2', { vmId, epoch: 5, disk: DATA });
    expect(afterBytes).toBeGreaterThan(80 * 1_048_576);
  });

  test('after a reboot its agent is away, which is seen at once, until it is added anew', async () => {
    const known = await fleet.must(hostTasks.addAgent, 'h2', { vmId, epoch: 5, grant: jws, package: digest });
    expect(await agentAt('h2', 5, known)).toBe('there');
    const input = { vmId, epoch: 5, script: 'echo b > /proc/sysrq-trigger', timeoutMs: 1_000, maxOutputBytes: 1_000 };
    const deadlineAt = new Date(Date.now() + 5_000).toISOString();
    const reboot = await fleet.begin(guestTasks.runScript, 'h2', input, { deadlineAt });
    await until(async () => (await agentAt('h2', 5, known)) === 'away');
    expect(await fleet.must(guestTasks.verify, 'h2', { vmId, epoch: 5, ifThere: true, expect: { bootId: before.bootId } })).toEqual({});
    expect(await fleet.reported(reboot)).toMatchObject({ ok: false }); // the agent comes to a guest that nothing else is done to
    // A guest that starts answers late on a busy machine: what is retriable is tried again, as a workflow does.
    await until(async () => {
      const deadlineAt = new Date(Date.now() + 60_000).toISOString();
      const adding = await fleet.begin(hostTasks.addAgent, 'h2', { vmId, epoch: 5, grant: jws, package: digest }, { deadlineAt });
      const added = await fleet.reported(adding, 120_000); // it is reported when its time is over, too
      expect(added).toMatchObject(added.ok ? { ok: true } : { cause: { retriable: true } });
      return added.ok;
    }, 240_000);
    expect(await agentAt('h2', 5, known)).toBe('there');
    const { facts } = await fleet.must(guestTasks.facts, 'h2', { vmId, epoch: 5 });
    expect(facts.bootId).not.toBe(before.bootId);
  }, 360_000);

  test('the agent goes without trace, and the VM with its volumes', async () => {
    const { topology } = await fleet.must(hostTasks.removeAgent, 'h2', { vmId, epoch: 5 });
    expect([topology.disks.map((d) => d.id), topology.serialPorts.map((p) => p.id)]).toEqual([[DATA], ['qga']]);
    await fleet.must(hostTasks.destroyVm, 'h2', { vmId, epoch: 5, deleteVolumes: true });
    await until(async () => spawnSync('pgrep', ['-f', vmId]).status === 1);
  });
});
