import { join } from 'node:path';
import { guestTasks, hostTasks, namedDisksOf, type InputOf, type OutputOf, type TaskContract } from '@chrysalis/contracts';
import type { Handler, OnVm, TaskRun } from '../execution/handler.ts';
import { agentThere } from './agent-there.ts';
import { asRunner, handler, timeLeft, type HandlerContext } from './handler-context.ts';
import { judged, type Ended } from './script.ts';
import { whileItRuns } from './while-it-runs.ts';

/** Under a grant that the gateway has checked, and that the agent in the guest checks again. */
export const addAgent = (context: HandlerContext): Handler =>
  handler(hostTasks.addAgent, asRunner, ({ vmId, grant, package: digest }, run) =>
    whileItRuns(context.driver, vmId, () =>
      context.guests.addAgent(vmId, { grant, package: digest, packageFile: packageFile(context, digest) }, timeLeft(run, context.now())),
    ),
  );

export const removeAgent = (context: HandlerContext): Handler =>
  handler(hostTasks.removeAgent, asRunner, ({ vmId }, run) => context.guests.removeAgent(vmId, timeLeft(run, context.now())));

/** What the migration agent in the guest does: relayed, under the task's key. */
export const guestHandlers = (context: HandlerContext): Handler[] =>
  Object.values(guestTasks).map((contract) => handler(contract, asRunner, (input, run) => relayed(context, contract, input, run), 'guest'));

/** After a switch-over the agent is there at once, or it was not there before. */
const AGENT_PATIENCE_MS = 3_000;

/** The guest does as it is told and says what came of it; whether a script's exit code is fine is judged here. */
const relayed = async <C extends TaskContract>(
  context: HandlerContext,
  contract: C,
  input: InputOf<C>,
  run: TaskRun,
): Promise<OutputOf<C>> => {
  const { vmId, epoch: _, okExitCodes, ifThere, ...rest } = input as OnVm & Record<string, unknown>;
  if (ifThere === true && !(await agentThere(context, vmId, AGENT_PATIENCE_MS))) return {} as OutputOf<C>;
  const { key, grant, signal } = run;
  const asked = typeof rest['disk'] === 'string' ? { ...rest, disk: await asGuestKnows(context, vmId, rest['disk']) } : rest;
  const relay = { vmId, input: asked, key, grant, signal, deadlineMs: timeLeft(run, context.now()) };
  const answer = whileItRuns(context.driver, vmId, () => context.guests.command(contract, relay));
  return contract.kind === guestTasks.runScript.kind
    ? (judged(answer as Promise<Ended>, okExitCodes as number[]) as typeof answer)
    : answer;
};

/** A disk by its name is one that the guest knows by its serial number; anything else is the guest's own word for it. */
const asGuestKnows = async ({ driver }: HandlerContext, vmId: string, disk: string): Promise<string> => {
  const { topology } = await driver.status(vmId);
  return namedDisksOf(topology).find((d) => d.id === disk)?.serial ?? disk;
};

/** A package's file carries its digest in its name, and is checked against it before it goes anywhere. */
const packageFile = ({ config }: HandlerContext, digest: string): string =>
  join(config.packageStore, `${digest.replace(':', '-')}.squashfs`);
