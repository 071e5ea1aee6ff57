import { expect } from '@jest/globals';
import { driverContract } from '../test/driver-contract/contract.ts';
import { SEED, type Rig } from '../test/driver-contract/rig.ts';
import { happenings } from '../lifecycle.ts';
import { SimulatedDriver } from './driver.ts';
import { SimulatedWorld } from './world.ts';
import { MemoryLink, TcpLink } from './link.ts';
import { SimulatedStore } from './state.ts';

const rig = (link: MemoryLink | TcpLink, nowhere: string): Rig => {
  const world = new SimulatedWorld({ link });
  const stores = { a: new SimulatedStore(), b: new SimulatedStore() };
  const make = (host: 'a' | 'b'): SimulatedDriver =>
    new SimulatedDriver({ host, address: link instanceof TcpLink ? '127.0.0.1' : host, world, store: stores[host], ...own });
  const own = { pools: ['shared', 'packages', 'local'], localPools: ['local'] };
  const marks = new Map<string, string>();
  const drivers = { a: make('a'), b: make('b') };
  const guest = (vmId: string) => (driver: unknown) => (driver as SimulatedDriver).simulatedGuest(vmId);
  return {
    a: () => drivers.a,
    b: () => drivers.b,
    lose: async (host) => {
      await drivers[host].close();
      drivers[host] = make(host);
    },
    guestUp: async () => undefined,
    bootId: async (driver, vmId) => guest(vmId)(driver).facts().bootId,
    // A simulated disk holds no files; how large its file system has grown is what it keeps.
    leaveMark: async (driver, vmId, text) => {
      const { bytes } = guest(vmId)(driver).facts().fileSystems[0]!;
      marks.set(`${vmId}/${bytes}`, text);
    },
    fill: async () => undefined,
    mark: async (driver, vmId) => marks.get(`${vmId}/${guest(vmId)(driver).facts().fileSystems[0]!.bytes}`) ?? '',
    slowMiBps: 320,
    writes: async (driver, vmId) => guest(vmId)(driver).behave({ dirtyMiBps: 640 }),
    cut: async (vmId) => {
      const { rest } = stores.a.vms.get(vmId)!;
      stores.a.save({ ...stores.a.vms.get(vmId)!, rest: { ...rest!, is: 'cut' } });
    },
    strandInSave: async (vmId) => {
      await drivers.a.close();
      stores.a.save({ ...stores.a.vms.get(vmId)!, state: 'paused', saving: true });
      drivers.a = make('a');
    },
    crash: async (host, vmId) => drivers[host].crash(vmId),
    powerOff: async (host, vmId) => {
      if (drivers[host].list().includes(vmId)) return drivers[host].powerOff(vmId);
      stores[host].save({ ...stores[host].vms.get(vmId)!, state: 'gone', happened: happenings.shutDown(Date.now() * 1000) });
    },
    reset: async (host, vmId) => drivers[host].reset(vmId),
    endsInside: async (host, vmId) => drivers[host].panic(vmId),
    ioError: async (host, vmId) => drivers[host].ioError(vmId),
    stop: async (host, vmId) => drivers[host].stop(vmId),
    continue: async (host, vmId) => drivers[host].continue(vmId),
    boots: async (driver, vmId) => void expect(guest(vmId)(driver).facts().disks[0]?.serial).toBe('root'),
    seed: async (driver, vmId) =>
      guest(vmId)(driver)
        .facts()
        .disks.some((d) => d.serial === 'chrysalis.seed')
        ? SEED
        : '',
    volumes: () => [...world.volumes.keys()].sort(),
    localVolumes: (host) => [...world.volumes.keys()].flatMap((key) => (key.startsWith(`local@${host}/`) ? key.slice(8) : [])).sort(),
    nowhere,
    close: async () => {
      await drivers.a.close();
      await drivers.b.close();
    },
  };
};

driverContract('simulated', async () => rig(new MemoryLink(), 'sim:nowhere:1'));
driverContract('simulated, over TCP as between two processes', async () => rig(new TcpLink(), 'tcp:127.0.0.1:1'));
