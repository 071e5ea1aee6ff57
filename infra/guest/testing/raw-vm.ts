import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { QgaClient, QmpClient, type AgentHardware } from '@chrysalis/hypervisor';
import type { GuestImage } from '../image.ts';

const qemuBinary = 'qemu-system-x86_64';

const connect = (path: string): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = createConnection(path);
    socket.once('connect', () => resolve(socket)).once('error', reject);
  });

/** A VM started by a plain command line, with no driver of ours in between; everything of it is in one directory that `end` removes. */
export class RawVm {
  private readonly process: ChildProcess;
  readonly qmp: QmpClient;
  readonly qga: QgaClient;
  readonly dir: string;
  private constructor(o: { process: ChildProcess; qmp: QmpClient; qga: QgaClient; dir: string }) {
    this.process = o.process;
    this.qmp = o.qmp;
    this.qga = o.qga;
    this.dir = o.dir;
  }

  static async boot(image: GuestImage): Promise<RawVm> {
    const dir = await mkdtemp(join(tmpdir(), 'chrysalis-guest-'));
    const disk = await open(join(dir, 'data.raw'), 'w');
    await disk.truncate(128 << 20);
    await disk.close();
    const args = ['-nodefaults', '-no-user-config', '-display', 'none', '-machine', 'pc-q35-7.2', '-cpu', 'Westmere', '-accel', 'tcg'];
    args.push('-m', '512,slots=4,maxmem=4096M', '-smp', '1,maxcpus=4,sockets=1,cores=4,threads=1');
    args.push('-kernel', image.kernel, '-initrd', image.initrd, '-append', image.cmdline, '-serial', `file:${dir}/console`);
    args.push('-qmp', `unix:${dir}/qmp,server=on,wait=off`);
    for (let i = 0; i < 6; i++) args.push('-device', `pcie-root-port,id=rp${i},chassis=${i + 1},slot=${i + 1},bus=pcie.0`);
    args.push('-device', 'virtio-serial-pci,id=vser,bus=pcie.0', '-chardev', `socket,id=qga,path=${dir}/qga,server=on,wait=off`);
    args.push('-device', 'virtserialport,bus=vser.0,nr=1,chardev=qga,name=org.qemu.guest_agent.0');
    args.push('-blockdev', `driver=raw,node-name=data,file.driver=file,file.filename=${dir}/data.raw,file.locking=off`);
    args.push('-device', 'virtio-blk-pci,drive=data,serial=data,bus=rp0,id=data');
    args.push('-netdev', 'user,id=n0,restrict=on', '-device', 'virtio-net-pci,netdev=n0,mac=52:54:00:00:07:09,bus=rp1,id=front');
    args.push('-netdev', 'user,id=n1,restrict=on', '-device', 'virtio-net-pci,netdev=n1,mac=52:54:00:00:07:0a,bus=rp2,id=back');
    const process = spawn(qemuBinary, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    process.once(
      'exit',
      (code, signal) => (code !== null || signal !== 'SIGKILL') && console.error(`QEMU ended with ${code ?? signal}: ${said}`),
    );
    process.stderr!.on('data', (c: Buffer) => (said = (said + c.toString()).slice(-2_000)));
    try {
      const qmp = await QmpClient.connect(`${dir}/qmp`, { alive: () => process.exitCode === null });
      const qga = new QgaClient(await connect(`${dir}/qga`));
      const vm = new RawVm({ process, qmp, qga, dir });
      await qga.sync(120_000); // emulated, and on a busy machine
      return vm;
    } catch (e) {
      process.kill('SIGKILL');
      const console = await readFile(`${dir}/console`, 'utf8').catch(() => '');
      await rm(dir, { recursive: true, force: true });
      throw new Error(`the guest did not come up: ${said}\n${console.slice(-2_000)}`, { cause: e });
    }
  }

  /** Ends QEMU and removes every file. */
  async end(): Promise<void> {
    this.qga.close();
    this.qmp.close();
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const gone = new Promise((r) => this.process.once('exit', r));
      this.process.kill('SIGKILL');
      await gone;
    }
    await rm(this.dir, { recursive: true, force: true });
  }

  connect(name: string): Promise<Socket> {
    return connect(join(this.dir, name));
  }
  async unplug(id: string): Promise<void> {
    const gone = this.qmp.waitFor('DEVICE_DELETED', (e) => e.data['device'] === id, 15_000);
    await this.qmp.execute('device_del', { id });
    await gone.promise;
  }
  async plugCpu(core: number): Promise<void> {
    await this.qmp.execute('device_add', {
      driver: 'Westmere-x86_64-cpu',
      id: `cpu${core}`,
      'socket-id': 0,
      'die-id': 0,
      'core-id': core,
      'thread-id': 0,
    });
  }
  async plugMemory(id: string, mib: number): Promise<void> {
    await this.qmp.execute('object-add', { 'qom-type': 'memory-backend-ram', id: `m-${id}`, size: mib * 1_048_576 });
    await this.qmp.execute('device_add', { driver: 'pc-dimm', id, memdev: `m-${id}` });
  }

  /** The driver's part of adding an agent, by raw QMP. */
  agentHardware(packageFile: string): AgentHardware {
    const { qmp, dir } = this;
    return {
      plugPackageDisk: async () => {
        const file = { driver: 'file', filename: packageFile, 'read-only': true, 'auto-read-only': false };
        await qmp.execute('blockdev-add', { 'node-name': 'agent', driver: 'raw', 'read-only': true, file });
        await qmp.execute('device_add', {
          driver: 'virtio-blk-pci',
          id: 'agent-disk',
          drive: 'agent',
          serial: 'chrysalis-agent',
          bus: 'rp4',
        });
        return { serial: 'chrysalis-agent' };
      },
      plugAgentPort: async () => {
        const addr = { type: 'unix', data: { path: `${dir}/agent` } };
        const backend = { type: 'socket', data: { addr, server: true, wait: false } };
        await qmp.execute('chardev-add', { id: 'agent', backend });
        const port = { driver: 'virtserialport', id: 'agent-port', bus: 'vser.0', nr: 2, chardev: 'agent', name: 'com.chrysalis.agent.0' };
        await qmp.execute('device_add', port);
      },
      openAgentPort: () => connect(`${dir}/agent`),
      unplugPackageDisk: async () => {
        await this.unplug('agent-disk');
        await qmp.execute('blockdev-del', { 'node-name': 'agent' });
      },
      unplugAgentPort: async () => {
        await this.unplug('agent-port');
        for (let i = 0; i < 50; i++) {
          const done = await qmp.execute('chardev-remove', { id: 'agent' }).then(
            () => true,
            () => false,
          );
          if (done) return;
          await sleep(10);
        }
        throw new Error('the chardev stayed');
      },
    };
  }
}
