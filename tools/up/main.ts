import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { createClient } from '@chrysalis/api-client';
import { freePort } from '../../infra/process/free-port.ts';
import { tenantKey } from '../run/grant.ts';
import { openRun } from '../fleet/run.ts';
import { chooseDriver, type Driver } from '../run/driver.ts';
import { chooseNetwork, faultOfHosts, type Network } from '../run/network.ts';
import { unlessInUserNamespace } from '../run/privileges.ts';
import { removeCurrent, stateDir, writeCurrent, type Platform } from '../run/platform.ts';
import { hostsUp, publishStarter } from '../run/starter.ts';
import { asTool, atEnd } from '../run/tool.ts';

const usage = `npm run up [-- OPTIONS]

A control plane that stays until Ctrl-C, with two hosts, and with what a first VM needs: the types small and large, the image linux, on the
networks front and legacy. The CLI finds it by itself: npm run chrysalis -- --help has a first walk

  --distributed   each service its own process, over Apache Kafka
  --driver DRIVER qemu or simulated (default: qemu, where there is one)
  --network NET   for real VMs: namespaces, or loopback, where nothing leads to the guests (default: namespaces, where they can be had)
  --bare          without types and image
  --no-hosts      the control plane alone; host agents connect to the address that is printed
  --data DIR      keep PostgreSQL's data there (default: it goes with the run; with --no-hosts only)`;

const parsed = (() => {
  try {
    return parseArgs({
      options: {
        distributed: { type: 'boolean', default: false },
        driver: { type: 'string' },
        network: { type: 'string' },
        bare: { type: 'boolean', default: false },
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
const fault = faultOfHosts(parsed);
if (fault) {
  console.error(`${fault}\n\n${usage}`);
  process.exit(2);
}
process.env['CHRYSALIS_LOG'] ??= 'warn';

const alone = async (): Promise<Platform> => {
  const runDir = path.join(stateDir, 'runs', `${process.pid}-up`);
  mkdirSync(runDir, { recursive: true });
  atEnd(async () => rmSync(runDir, { recursive: true, force: true }));
  const agentListen = `127.0.0.1:${await freePort()}`;
  const { startEmbedded } = await import('../run/embedded.ts');
  const { startDistributed } = await import('../run/distributed.ts');
  const starting = (parsed.distributed ? startDistributed : startEmbedded)({
    agentListen,
    runDir,
    ...(parsed.data ? { dataDir: path.resolve(parsed.data) } : {}),
  });
  atEnd(async () => (await starting.catch(() => undefined))?.stop());
  const platform = await starting;
  writeCurrent(platform);
  atEnd(async () => removeCurrent());
  return platform;
};
/** Or the exit code of the same command, where it ran elsewhere. */
const withHosts = async (): Promise<Platform | number> => {
  const { driver, why } = chooseDriver(parsed.driver as Driver | undefined);
  const { network, why: whyNetwork } = chooseNetwork(driver, parsed.network as Network | undefined);
  if (driver === 'simulated') console.error(`SIMULATED hosts and guests: ${why}`);
  else if (network === 'loopback') console.error(`no network leads to the guests: ${whyNetwork}`);
  const tenant = await tenantKey();
  const given = {
    trustedKeys: [tenant.publicJwk],
    distributed: parsed.distributed,
    say: (text: string) => console.error(text),
  };
  const elsewhere = network === 'namespaces' ? await unlessInUserNamespace(given) : undefined;
  if (elsewhere !== undefined) return elsewhere;
  const { platform, image, hosts } = await openRun({ driver, network, ...given });
  const api = createClient({ server: platform.adminUrl, token: platform.token });
  await hostsUp(api, hosts.agents.length);
  if (!parsed.bare) await publishStarter(api, image, tenant);
  return platform;
};

const main = async (): Promise<number> => {
  const platform = await (parsed['no-hosts'] ? alone() : withHosts());
  if (typeof platform === 'number') return platform;
  console.log(JSON.stringify({ server: platform.adminUrl, agents: platform.agentUrl, pids: platform.pids() }));
  if (!parsed['no-hosts'] && !parsed.bare)
    console.error(
      'There are the types small and large and the image linux: npm run chrysalis -- vm create web --type small --image linux -w',
    );
  console.error('Ready. Ctrl-C ends it.');
  return new Promise(() => undefined);
};
/** Being interrupted is how it ends. */
await asTool(main, { interrupted: () => 0 });
