import { actionNeeded, grantDecider, type GrantAction, type GrantRejection, type UseGrant } from '@chrysalis/agent-gateway-core';
import { GrantClaims, hostTasks, taskKey, type Cause, type Code, type TaskDispatch } from '@chrysalis/contracts';
import type { EventContext } from '@chrysalis/service-kit';
import { coveredBy } from '../sql/pending-tasks.ts';
import { admitsUnder } from '../sql/granted-tasks.ts';
import { grantsOfVm } from '../sql/grant-vms.ts';
import { tenantOfVm } from '../sql/vm-tenants.ts';

type GrantRefusal = { readonly code: Code; readonly message: string };

/** Nothing, or why this task may not go into the guest. The use is counted in the same transaction that keeps the task. */
export const admitUnderGrant = async (dispatch: TaskDispatch, ctx: EventContext): Promise<Cause | undefined> => {
  const action = actionNeeded(dispatch.kind);
  if (action === undefined) return undefined;
  if (action === 'none-known') return final({ code: 'grant.action_not_named', message: `no grant allows ${dispatch.kind}` });
  const vmId = String(dispatch.input['vmId']);
  const owner = await tenantOfVm(ctx.tx, vmId);
  if (owner !== undefined && owner !== dispatch.tenant)
    return final({ code: 'grant.foreign_tenant', message: `${vmId} is not of tenant ${dispatch.tenant}` });
  const grants = dispatch.kind === hostTasks.addAgent.kind ? await carried(dispatch, ctx) : await grantsOfVm(ctx.tx, vmId, ctx.now);
  if (!Array.isArray(grants)) return final(grants as GrantRefusal);
  return useOneOf(grants as string[], dispatch, action, vmId, ctx);
};

/** The first that allows it is used; when none does, the refusal of the newest is the reason. */
const useOneOf = async (
  grants: readonly string[],
  dispatch: TaskDispatch,
  action: GrantAction,
  vmId: string,
  ctx: EventContext,
): Promise<Cause | undefined> => {
  let refusal: GrantRefusal = { code: 'grant.unknown', message: `no grant names ${vmId}` };
  const { package: digest } = dispatch.input;
  const command: UseGrant = {
    do: 'use',
    vmId,
    tenant: dispatch.tenant,
    action,
    taskKey: taskKey(dispatch),
    at: ctx.now,
    undo: dispatch.action === 'compensate',
    ...(typeof digest === 'string' ? { package: digest } : {}),
  };
  for (const [index, grantId] of grants.entries()) {
    await admitsUnder(ctx.tx, grantId);
    const decided = await ctx.decide(`grant-${grantId}`, grantDecider, command);
    if (decided.ok) {
      await coveredBy(ctx.tx, command.taskKey, grantId, (decided.state as { jws: string }).jws);
      return undefined;
    }
    if (index === 0) refusal = decided.rejection as GrantRejection;
  }
  return final(refusal);
};

/** The grant that the task brings must be one that is registered, to the letter. */
const carried = async ({ input }: TaskDispatch, ctx: EventContext): Promise<string[] | GrantRefusal> => {
  const jws = String(input['grant']);
  const jti = idOf(jws);
  if (jti === undefined) return { code: 'grant.malformed', message: 'the task does not bring a grant' };
  const [registered] = await ctx.store.read(`grant-${jti}`, { to: 1 }, ctx.tx);
  if (!registered) return { code: 'grant.unknown', message: `no grant ${jti} is registered` };
  const same = (registered.data as { jws: string }).jws === jws;
  return same ? [jti] : { code: 'grant.signature_invalid', message: `not the grant that was registered as ${jti}` };
};

/** What it says of itself, not verified; undefined where that is no id. */
const idOf = (jws: string): string | undefined => {
  try {
    const claims: unknown = JSON.parse(Buffer.from(jws.split('.')[1] ?? '', 'base64url').toString('utf8'));
    return GrantClaims.pick({ jti: true }).safeParse(claims).data?.jti;
  } catch {
    return undefined;
  }
};

const final = ({ code, message }: GrantRefusal): Cause => ({ code, message, retriable: false });
