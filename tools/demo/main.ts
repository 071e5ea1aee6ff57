import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { createClient } from '@chrysalis/api-client';
import { MissingTool } from '../../infra/guest/debian.ts';
import { KafkaUnavailable } from '../../infra/kafka/jars.ts';
import { isSecondLife, NamespacesUnavailable } from '../../infra/network/user-namespace.ts';
import { chooseDriver, type Driver } from '../run/driver.ts';
import { chooseNetwork, faultOfHosts, type Network } from '../run/network.ts';
import { unlessInUserNamespace } from '../run/privileges.ts';
import { serviceNames, type ServiceName } from '../run/platform.ts';
import { asTool, interrupted, INTERRUPTED } from '../run/tool.ts';
import { demonstrate } from './demonstrate.ts';
import { tenantKey } from '../run/grant.ts';
import { mayWrite } from './may-write.ts';
import { pictureOf } from './picture.ts';
import { openRun } from '../fleet/run.ts';
import { createScreen } from '../fleet/screen.ts';

const usage = `npm run demo [-- OPTIONS]

A running Linux VM changes its type and its host while a client outside both keeps asking its web service.

  --distributed     each service its own process, over Apache Kafka (default: one process over PostgreSQL alone)
  --kill SERVICE    SIGKILL to that service in mid-move; its supervisor starts it anew (with --distributed)
                    one of ${serviceNames.join(', ')}
  --driver DRIVER   qemu or simulated (default: qemu, where there is one)
  --network NETWORK for real VMs: namespaces (one a host, and HTTP to the guest), or loopback (no namespace at all, and heartbeats over
                    virtio-serial in place of HTTP). Default: namespaces, where this account can have them
  --back            and back: to the first type on the first host; CPUs and memory go, the NIC comes back, the guest goes on
  --max-gap MS      what the client may wait for an answer at most (default: 1000; a busy machine takes longer)
  --keep            leave it running, with the commands to look around, until Ctrl-C
  --picture FILE    write a picture of the run to FILE, as SVG: the client's answers and the steps of the move on one time axis
  --json            stdout carries the report as JSON, and nothing else

Exit code 0: each check of the report holds. 1: one does not, or the demo could not run. 2: usage.`;

const parsed = (() => {
  try {
    return parseArgs({
      options: {
        distributed: { type: 'boolean', default: false },
        kill: { type: 'string' },
        driver: { type: 'string' },
        network: { type: 'string' },
        back: { type: 'boolean', default: false },
        'max-gap': { type: 'string', default: '1000' },
        keep: { type: 'boolean', default: false },
        picture: { type: 'string' },
        json: { type: 'boolean', default: false },
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
const kill = parsed.kill as ServiceName | undefined;
if (kill && (!parsed.distributed || !serviceNames.includes(kill))) {
  console.error(`--kill takes one of ${serviceNames.join(', ')}, together with --distributed\n\n${usage}`);
  process.exit(2);
}
const fault = faultOfHosts(parsed);
if (fault) {
  console.error(`${fault}\n\n${usage}`);
  process.exit(2);
}
if (parsed.picture !== undefined && !mayWrite(parsed.picture)) {
  console.error(`--picture takes a file in a folder that can be written to\n\n${usage}`);
  process.exit(2);
}
const maxGapMs = /^\d{1,6}$/.test(parsed['max-gap']) ? Number(parsed['max-gap']) : 0;
if (maxGapMs === 0) {
  console.error(`--max-gap takes milliseconds, from 1 to 999999\n\n${usage}`);
  process.exit(2);
}
process.env['CHRYSALIS_LOG'] ??= 'error';

const screen = createScreen(parsed.json ? process.stderr : process.stdout);
/** What the checks said, once they did: Ctrl-C is how a demo that was kept ends. */
let ended: number | undefined;

/** What this run is not, for its title. */
const limitsOf = (driver: string, network: string, why: string | undefined): string => {
  if (driver === 'simulated') return ` (SIMULATED hosts and guests: ${why})`;
  return network === 'loopback' ? ' (WITHOUT NETWORKS: heartbeats over virtio-serial in place of HTTP)' : '';
};

const main = async (): Promise<number> => {
  const { driver, why } = chooseDriver(parsed.driver as Driver | undefined);
  const { network, why: whyNetwork } = chooseNetwork(driver, parsed.network as Network | undefined);
  const limits = limitsOf(driver, network, why);
  // Inside, the first lines have been said outside.
  if (!isSecondLife()) {
    screen.title(`Chrysalis: a running VM changes its type and its host${parsed.back ? ', and back' : ''}${limits}`);
    if (driver === 'qemu' && network === 'loopback') screen.line(`no network namespaces: ${whyNetwork}`);
  }
  const tenant = await tenantKey();
  if (network === 'namespaces') {
    const say = (text: string): void => screen.line(text);
    const needs = { trustedKeys: [tenant.publicJwk], distributed: parsed.distributed, say };
    const elsewhere = await unlessInUserNamespace(needs);
    if (elsewhere !== undefined) return elsewhere;
  }
  const given = { driver, network, distributed: parsed.distributed, trustedKeys: [tenant.publicJwk] };
  const run = await openRun({ ...given, say: (text) => screen.line(text) });
  const api = createClient({ server: run.platform.adminUrl, token: run.platform.token });
  const { report, timeline } = await demonstrate({ run, api, screen, tenant, kill, maxGapMs, back: parsed.back });
  if (parsed.picture) {
    writeFileSync(parsed.picture, pictureOf(report, timeline));
    screen.line(`picture of this run: ${parsed.picture}${limits}`);
  }
  if (parsed.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  ended = report.ok ? 0 : 1;
  if (parsed.keep) {
    screen.title('It runs on. Look around, in another terminal:');
    for (const c of [
      'vm list',
      `vm get ${report.vm.id}`,
      'host list',
      'allocation list',
      `migration get ${report.migration.id}`,
      'events watch',
    ])
      screen.line(`npm run --silent chrysalis -- ${c}`);
    screen.line(`Ctrl-C ends it and leaves nothing behind.${limits}`);
    await new Promise((resolve) => interrupted.addEventListener('abort', resolve));
  }
  return ended;
};

const failed = (error: unknown): string => {
  screen.settle();
  const lacking = error instanceof NamespacesUnavailable || error instanceof MissingTool || error instanceof KafkaUnavailable;
  return lacking ? `\n${error.message}` : `\nThe demo failed: ${(error as Error).stack ?? String(error)}`;
};
await asTool(main, { failed, interrupted: () => ended ?? INTERRUPTED });
