import { join } from 'node:path';
import { guestTasks, hostTasks, namedDisksOf } from '@chrysalis/contracts';
import type { Handler } from '../executor.ts';
import { asRunner, handler, timeLeft, type Parts } from './parts.ts';

/** Under a grant that the gateway has checked, and that the agent in the guest checks again. */
export const addAgent = (parts: Parts): Handler =>
  handler(hostTasks.addAgent, asRunner, ({ vmId, grant, package: digest }, run) =>
    parts.guests.addAgent(vmId, { grant, package: digest, packageFile: packageFile(parts, digest) }, timeLeft(run, parts.now())),
  );

export const removeAgent = (parts: Parts): Handler =>
  handler(hostTasks.removeAgent, asRunner, ({ vmId }, run) => parts.guests.removeAgent(vmId, timeLeft(run, parts.now())));

/** What the migration agent in the guest does: relayed, under the task's key. */
export const guestHandlers = (parts: Parts): Handler[] =>
  Object.values(guestTasks).map((contract) =>
    handler(
      contract,
      asRunner,
      async (input, run) => {
        const { vmId, epoch: _, ...rest } = input;
        const { key, grant, signal } = run;
        const asked = 'disk' in rest ? { ...rest, disk: await asGuestKnows(parts, vmId, rest.disk) } : rest;
        return parts.guests.command(contract, { vmId, input: asked, key, grant, signal, deadlineMs: timeLeft(run, parts.now()) });
      },
      'guest',
    ),
  );

/** A disk by its name is one that the guest knows by its serial number; anything else is the guest's own word for it. */
const asGuestKnows = async ({ driver }: Parts, vmId: string, disk: string): Promise<string> => {
  const { topology } = await driver.status(vmId);
  return namedDisksOf(topology).find((d) => d.id === disk)?.serial ?? disk;
};

/** A package's file carries its digest in its name, and is checked against it before it goes anywhere. */
const packageFile = ({ config }: Parts, digest: string): string => join(config.packageStore, `${digest.replace(':', '-')}.squashfs`);
