import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { agentVolume, type Erased, type Trace } from '@chrysalis/contracts';
import { onQemu, until } from '@chrysalis/testing';
import { ensureGuestImage } from '../../../../../infra/guest/image.ts';
import { ownerOfFile } from '../../traces.ts';
import { bootSpec } from '../../test/driver-contract/rig.ts';
import { isAlive } from '../process.ts';
import { tapName } from '../segment/names.ts';
import { diskTraces } from './files.ts';
import { processesOf } from './processes.ts';

const ns = `chy-t${process.pid}`;
const dir = mkdtempSync(join(tmpdir(), 'chy-traces-'));
const [stateDir, pool] = [join(dir, 'state'), join(dir, 'pool')];
const sh = (line: string): string => {
  const { status, stdout, stderr } = spawnSync('sh', ['-c', line], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${line}: ${stderr}`);
  return stdout;
};
const inside = (line: string): string => sh(`ip netns exec ${ns} ${line}`);
const links = (): string[] => [...inside('ip -br link').matchAll(/^(chy\w+)/gm)].map((m) => m[1]!).sort();
const filters = (): boolean => /from_chyt/.test(inside('nft list ruleset'));

class Host {
  #child: ChildProcess | undefined;
  #answers!: AsyncIterator<string>;

  constructor(readonly image: { readonly kernel: string; readonly initrd: string }) {}
  start(): void {
    const register = resolve(import.meta.dirname, '../../../../../tools/node/register.mjs');
    const node = [process.execPath, '--disable-warning=ExperimentalWarning', '--import', register];
    const program = [...node, join(import.meta.dirname, 'testing/one-host.ts'), stateDir, '198.19.9.1', pool];
    const argv = ['netns', 'exec', ns, ...program, this.image.kernel, this.image.initrd];
    this.#child = spawn('ip', argv, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#answers = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }
  async call<T>(method: string, ...args: unknown[]): Promise<T> {
    this.#child!.stdin!.write(`${JSON.stringify([method, ...args])}\n`);
    const { value, error } = JSON.parse((await this.#answers.next()).value as string) as { value: T; error?: string };
    if (error) throw new Error(error);
    return value;
  }
  async kill(): Promise<void> {
    const gone = new Promise((done) => this.#child?.once('exit', done) ?? done(undefined));
    this.#child?.kill('SIGKILL');
    await gone;
  }
  traces = (minAgeMs = 0): Promise<Trace[]> => this.call('traces', minAgeMs);
  erase = (trace: Trace): Promise<Erased> => this.call('erase', trace);
}

test('a file of a pool is ours where its name is made of an id, and else nobody’s that we know', () => {
  const [vm, volume] = [`vm-${randomUUID()}`, `volume-${randomUUID()}`];
  for (const file of [`${vm}.root.qcow2`, `${vm}.seed.raw`, `${vm}.vars.fd`, `${vm}.data.qcow2.new-77`])
    expect(ownerOfFile(file)).toEqual({ vmId: vm });
  expect(ownerOfFile(`${volume}.qcow2`)).toEqual({ volumeId: volume });
  expect(ownerOfFile(`${volume}.qcow2.new-1`)).toEqual({ volumeId: volume });
  const others = [vm, `${vm}.qcow2`, `${vm}.root`, `x${vm}.root.qcow2`, `${volume}.raw`, `${volume}.qcow2.bak`, 'vm-1.root.qcow2', 'notes.txt', '.chrysalis-pool', `${vm}.root.qcow2.new-`];
  for (const file of others) expect([file, ownerOfFile(file)]).toEqual([file, undefined]);
}); // prettier-ignore

test('a package of the migration agent is known by its name and its content, and else is nobody’s that we know', async () => {
  const folder = join(dir, 'packages');
  mkdirSync(folder, { recursive: true });
  const [whole, other] = ['a package', 'another'].map((text) => agentVolume(`sha256:${createHash('sha256').update(text).digest('hex')}`));
  for (const file of [whole!, other!]) writeFileSync(join(folder, file), 'a package');
  symlinkSync(join(folder, whole!), join(folder, agentVolume(`sha256:${'0'.repeat(64)}`)));
  const found = (await diskTraces({ shared: { directory: folder, shared: true } }, 600_000)).sort((a, b) => a.id.localeCompare(b.id));
  expect(found.filter((t) => t.agentPackage).map((t) => t.id)).toEqual([`shared/${whole}`]);
  expect(found).toHaveLength(3);
  for (const trace of found) expect(trace).not.toHaveProperty('busy');
});

onQemu(
  'traces of VMs on a host',
  () => {
    const network = 'network-0199c0de-0000-7000-8000-0000000000f1';
    const segment = { vni: 5001, subnet: '10.9.1.0/24', address: '10.9.1.10', mtu: 1450, allow: [] };
    const vmId = `vm-${randomUUID()}`;
    const tap = tapName(vmId, network);
    const nics = [{ id: network, network, mac: '52:54:00:00:09:01', segment }];
    const spec = { ...bootSpec(vmId), uuid: randomUUID(), nics };
    const volume = `volume-${randomUUID()}`;
    const stranger = `vm-${randomUUID()}`;
    let host: Host;
    let foreign: ChildProcess;

    const find = async (kind: Trace['kind'], id: string): Promise<Trace | undefined> =>
      (await host.traces()).find((t) => t.kind === kind && t.id === id);
    const qemus = () => processesOf((name) => name.startsWith('qemu')).filter((q) => q.argv.some((a) => a.startsWith(stateDir)));

    beforeAll(async () => {
      sh(`ip netns add ${ns} && ip -n ${ns} link set lo up && ip -n ${ns} link add wire type veth peer name wired`);
      sh(`ip -n ${ns} addr add 198.19.9.1/24 dev wire && ip -n ${ns} link set wire up && ip -n ${ns} link set wired up`);
      host = new Host(await ensureGuestImage({ cacheDir: new URL('../../../../../.cache', import.meta.url).pathname }));
      host.start();
      await host.call('boot', { ...spec, spec: { ...spec.spec, nics: [] } });
      await host.call('createVolume', { pool: 'shared', volume: `${volume}.qcow2`, format: 'qcow2', sizeMiB: 8 });
      // A stranger's: a QEMU that calls itself as ours do, a link that leads out, a file that has another name, interfaces named alike.
      const argv = ['-name', `guest=${stranger}`, '-display', 'none', '-S', '-nodefaults', '-machine', 'none', '-pidfile', join(dir, 'vms', 'qemu.pid')]; // prettier-ignore
      mkdirSync(join(dir, 'vms'));
      foreign = spawn('qemu-system-x86_64', argv, { stdio: 'ignore' });
      writeFileSync(join(dir, 'outside'), 'theirs');
      symlinkSync(join(dir, 'outside'), join(pool, `${stranger}.root.qcow2`));
      linkSync(join(dir, 'outside'), join(pool, `${stranger}.data.qcow2`));
      writeFileSync(join(pool, 'notes.txt'), 'theirs');
      mkdirSync(join(stateDir, 'vms', 'of a stranger'));
      sh(`ip -n ${ns} link add chytheirs type bridge && ip -n ${ns} link add chyt0000000bad type bridge`);
    }, 600_000);
    afterAll(async () => {
      foreign?.kill('SIGKILL');
      await host?.kill();
      for (const { id } of qemus()) process.kill(id.pid, 'SIGKILL');
      sh(`for n in $(ip netns pids ${ns}); do kill -9 $n; done; ip netns delete ${ns}`);
      rmSync(dir, { recursive: true, force: true });
    }, 60_000);

    test('all that a VM has is seen, by marks; what is young is busy; what is a stranger’s has no mark, or is not seen', async () => {
      const of = (all: Trace[]) => all.filter((t) => t.vmId === vmId).map((t) => `${t.kind} ${t.id}`);
      const all = await host.traces();
      expect(of(all).sort()).toEqual([`disk shared/${vmId}.data.qcow2`, `folder ${vmId}`, `nic ${tap}`, `process ${vmId}`]);
      expect(all.filter((t) => t.volumeId !== undefined || t.vni !== undefined).map((t) => t.id).sort()).toEqual(['5001', `shared/${volume}.qcow2`]); // prettier-ignore
      expect(all.find((t) => t.kind === 'process')!.bytes).toBeGreaterThan(1_048_576);
      expect((await host.traces(600_000)).filter((t) => t.vmId === vmId && t.kind !== 'nic').every((t) => t.busy !== undefined)).toBe(true);
      const unmarked = all.filter((t) => t.vmId === undefined && t.volumeId === undefined && t.vni === undefined).map((t) => t.id);
      expect(unmarked.sort()).toEqual(
        ['chyt0000000bad', 'of a stranger', 'shared/notes.txt', `shared/${stranger}.data.qcow2`, `shared/${stranger}.root.qcow2`].sort(),
      );
    }, 120_000);

    test('what is in use stays, whoever says that it is left', async () => {
      const all = (await host.traces()).filter((t) => t.vmId === vmId || t.vni === 5001);
      for (const kind of ['nic', 'folder', 'disk', 'segment'])
        expect(await host.erase(all.find((t) => t.kind === kind)!)).toMatchObject({ kind, done: 'stays' });
      expect(await host.erase({ ...all.find((t) => t.kind === 'process')!, print: '1-1' })).toMatchObject({ done: 'gone' });
      expect(qemus()).toHaveLength(1);
    }, 120_000);

    test('an agent that lost all its records: its QEMU, tap, filter, segment and disk are seen still, and go one by one', async () => {
      await host.kill();
      rmSync(join(stateDir, 'vms', vmId, 'vm.json'));
      rmSync(join(stateDir, 'segments'), { recursive: true });
      host.start();
      await host.call('adopt');
      expect(await host.call('list')).toEqual([]);
      expect(existsSync(join(stateDir, 'vms', vmId))).toBe(false); // without a record it is a folder that was being made

      const process = (await find('process', vmId))!;
      const disk = (await find('disk', `shared/${vmId}.data.qcow2`))!;
      const nic = { ...(await find('nic', tap))!, vmId }; // the name alone is left: whose it is is found by whoever knows all VMs
      const [network5001] = (await host.traces()).filter((t) => t.vni === 5001);
      expect([process.vmId, disk.vmId, network5001?.id]).toEqual([vmId, vmId, '5001']);
      expect(await host.erase(disk)).toMatchObject({ done: 'stays', why: 'its QEMU runs' });
      expect(await host.erase(nic)).toMatchObject({ done: 'stays' });

      const qemu = qemus()[0]!.id;
      expect(await host.erase(process)).toMatchObject({ done: 'removed', bytes: process.bytes });
      expect(isAlive(qemu)).toBe(false);
      expect(await host.erase(process)).toMatchObject({ done: 'gone', bytes: 0 });
      for (const one of [nic, disk, network5001!]) expect(await host.erase(one)).toMatchObject({ kind: one.kind, done: 'removed' });
      for (const one of [nic, disk, network5001!]) expect(await host.erase(one)).toMatchObject({ done: 'gone' });
      expect([links(), filters()]).toEqual([['chyt0000000bad', 'chytheirs'], false]);
      expect(await until(async () => sh(`pgrep -f "[d]nsmasq.*${dir}/" || true`).trim() === '')).toBe(true);
    }, 120_000);

    test('a file that is another one by now stays, and so does all that is a stranger’s, however it is asked for', async () => {
      const id = `shared/${volume}.qcow2`;
      const before = (await find('disk', id))!;
      rmSync(join(pool, `${volume}.qcow2`));
      writeFileSync(join(pool, 'held'), ''); // so that its number is not the next file's
      expect(await host.erase(before)).toMatchObject({ done: 'gone' });
      await host.call('createVolume', { pool: 'shared', volume: `${volume}.qcow2`, format: 'qcow2', sizeMiB: 8 });
      expect(await host.erase({ ...before, print: `${before.print}0` })).toMatchObject({ done: 'stays' });
      // Somebody else's QEMU, on whatever host of the pool, has it open.
      const node = `driver=qcow2,node-name=v,file.driver=file,file.locking=on,file.filename=${join(pool, `${volume}.qcow2`)}`;
      const holds = ['-display', 'none', '-S', '-nodefaults', '-machine', 'none', '-blockdev', node, '-pidfile', join(dir, 'holds.pid')];
      const holder = spawn('qemu-system-x86_64', holds, { stdio: 'ignore' });
      await until(async () => existsSync(join(dir, 'holds.pid')));
      expect(await host.erase((await find('disk', id))!)).toMatchObject({
        done: 'stays',
        why: expect.stringContaining('Another QEMU has'),
      });
      const over = new Promise((done) => holder.once('exit', done));
      holder.kill('SIGKILL');
      await over;
      expect(await host.erase((await find('disk', id))!)).toMatchObject({ done: 'removed' });
      for (const file of ['notes.txt', `${stranger}.root.qcow2`, `${stranger}.data.qcow2`]) {
        const trace = (await find('disk', `shared/${file}`))!;
        expect([file, await host.erase(trace)]).toMatchObject([file, { done: 'stays' }]);
      }
      // What was never whole is nobody's, and no lock of it is asked for.
      writeFileSync(join(pool, `${stranger}.torn.qcow2`), 'half');
      expect(await host.erase((await find('disk', `shared/${stranger}.torn.qcow2`))!)).toMatchObject({ done: 'removed' });
      expect(await host.erase({ ...before, id: 'shared/../outside' })).toMatchObject({ done: 'gone' });
      expect(readdirSync(pool).filter((f) => f !== 'held').sort()).toEqual([`${stranger}.data.qcow2`, `${stranger}.root.qcow2`, 'notes.txt'].sort()); // prettier-ignore
      expect(readFileSync(join(dir, 'outside'), 'utf8')).toBe('theirs');
      expect([foreign.exitCode, links()]).toEqual([null, ['chyt0000000bad', 'chytheirs']]);
    }, 120_000);
  },
  ['qemu-system-x86_64', 'nft', 'dnsmasq'],
);
