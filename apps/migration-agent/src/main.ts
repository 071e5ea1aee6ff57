import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import { startupSnapshot } from 'node:v8';
import { GUEST_PORT_NAME } from '@chrysalis/contracts';
import { Guest } from './guest/guest.ts';
import { verifyGrant } from './grant.ts';
import { makeHandlers, packagedResize } from './handlers.ts';
import { SerialPort } from './channel/port.ts';
import { AgentServer } from './channel/server.ts';

declare const CHRYSALIS_AGENT_VERSION: string;

// A blocked read sits in libuv's pool, and exit() would wait for it: end as the kernel ends a process.
const end = (): void => process.kill(process.pid, 'SIGKILL') as unknown as void;

const main = async (): Promise<void> => {
  const { values } = parseArgs({
    options: {
      /** sha256:… of the package this runs from; the host checked it when it opened the file, the grant must name it. */
      package: { type: 'string' },
      /** Serial number of the package's disk. */
      serial: { type: 'string' },
      /** Where the package is mounted. */
      dir: { type: 'string' },
      trust: { type: 'string', default: '/etc/chrysalis/trust.d' },
    },
  });

  const { package: packageDigest = '', serial: packageSerial = '', dir = '', trust } = values;
  const guest = new Guest({ packageSerial });
  const identity = { version: CHRYSALIS_AGENT_VERSION, instance: randomUUID(), package: packageDigest };

  const port = await SerialPort.open(GUEST_PORT_NAME, 10_000);
  const server = new AgentServer({
    identity,
    handlers: makeHandlers(guest, identity, packagedResize(dir)),
    verify: (jws, vmId) => verifyGrant({ jws, vmId, packageDigest, trustDir: trust, nowSeconds: Math.floor(Date.now() / 1000) }),
    write: (frame) => port.write(frame),
    ended: end,
    clock: { monotonicMs: () => performance.now(), epochMs: () => Date.now() },
  });

  setInterval(() => server.tick(), 50);
  server.tick();
  await port.read((chunk) => server.receive(chunk)).catch(end);
};

// The package brings the agent as a snapshot of Node's heap in which every module has run already: under emulation loading them took longer
// than all else that adding an agent does. Nothing of a guest may be read above, as it would be what the maker of the package saw.
startupSnapshot.setDeserializeMainFunction(() => void main());
