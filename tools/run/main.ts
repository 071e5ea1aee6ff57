import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { freePort } from '../../infra/process/free-port.ts';
import { tenantKey } from '../demo/grant.ts';
import { openRun } from '../demo/run.ts';
import { chooseDriver, drivers, type Driver } from './driver.ts';
import { interruption } from './interruption.ts';
import { chooseNetwork, networks, type Network } from './network.ts';
import { unlessInUserNamespace } from './privileges.ts';
import { stateDir, writeCurrent, type Platform } from './platform.ts';

const usage = `npm run up [-- OPTIONS]

A control plane that stays until Ctrl-C, with two hosts. The CLI finds it by itself: npm run chrysalis -- host list

  --distributed   each service its own process, over Apache Kafka
  --driver DRIVER qemu or simulated (default: qemu, where there is one)
  --network NET   for real VMs: namespaces, or loopback, where nothing leads to the guests (default: namespaces, where they can be had)
  --no-hosts      the control plane alone; host agents connect to the address that is printed
  --data DIR      keep PostgreSQL's data there (default: it goes with the run; with --no-hosts only)`;

const parsed = (() => {
  try {
    return parseArgs({
      options: {
        distributed: { type: 'boolean', default: false },
        driver: { type: 'string' },
        network: { type: 'string' },
        'no-hosts': { type: 'boolean', default: false },
        data: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`);
    process.exit(2);
  }
})();
if (parsed.help) {
  console.log(usage);
  process.exit(0);
}
if (parsed.driver !== undefined && !drivers.includes(parsed.driver as Driver)) {
  console.error(`--driver is one of ${drivers.join(', ')}\n\n${usage}`);
  process.exit(2);
}
if (parsed.network !== undefined && (!networks.includes(parsed.network as Network) || parsed.driver === 'simulated')) {
  console.error(`--network is one of ${networks.join(', ')}, for real VMs\n\n${usage}`);
  process.exit(2);
}
process.env['CHRYSALIS_LOG'] ??= 'warn';
const interrupted = interruption();

const alone = async (): Promise<{ platform: Platform; stop: () => Promise<void> }> => {
  const runDir = path.join(stateDir, 'runs', `${process.pid}-up`);
  mkdirSync(runDir, { recursive: true });
  const agentListen = `127.0.0.1:${await freePort()}`;
  const { startEmbedded } = await import('./embedded.ts');
  const { startDistributed } = await import('./distributed.ts');
  const platform = await (parsed.distributed ? startDistributed : startEmbedded)({
    agentListen,
    runDir,
    ...(parsed.data ? { dataDir: path.resolve(parsed.data) } : {}),
  });
  writeCurrent(platform);
  const stop = async (): Promise<void> => {
    await platform.stop();
    rmSync(runDir, { recursive: true, force: true });
  };
  return { platform, stop };
};
const withHosts = async (): Promise<{ platform: Platform; stop: () => Promise<void> }> => {
  const { driver, why } = chooseDriver(parsed.driver as Driver | undefined);
  const { network, why: whyNetwork } = chooseNetwork(driver, parsed.network as Network | undefined);
  if (driver === 'simulated') console.error(`SIMULATED hosts and guests: ${why}`);
  else if (network === 'loopback') console.error(`no network leads to the guests: ${whyNetwork}`);
  const given = {
    trustedKeys: [(await tenantKey()).publicJwk],
    distributed: parsed.distributed,
    say: (text: string) => console.error(text),
  };
  const elsewhere = network === 'namespaces' ? await unlessInUserNamespace(given) : undefined;
  if (elsewhere !== undefined) process.exit(elsewhere);
  return openRun({ driver, network, ...given });
};

const { platform, stop } = await (parsed['no-hosts'] ? alone() : withHosts());
console.log(JSON.stringify({ server: platform.adminUrl, agents: platform.agentUrl, pids: platform.pids() }));
console.error('Ready. Ctrl-C ends it.');
await interrupted;
await stop();
process.exit(0);
