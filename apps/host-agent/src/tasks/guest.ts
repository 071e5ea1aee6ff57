import { join } from 'node:path';
import { guestTasks, hostTasks } from '@chrysalis/contracts';
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
      (input, run) => {
        const { vmId, epoch: _, ...rest } = input;
        const { key, grant, signal } = run;
        return parts.guests.command(contract, { vmId, input: rest, key, grant, signal, deadlineMs: timeLeft(run, parts.now()) });
      },
      'guest',
    ),
  );

/** A package's file carries its digest in its name, and is checked against it before it goes anywhere. */
const packageFile = ({ config }: Parts, digest: string): string => join(config.packageStore, `${digest.replace(':', '-')}.squashfs`);
