import { agentGatewayEvents, type Coded, type EventOf, type GrantClaims } from '@chrysalis/contracts';
import { accept, canonicalJson, reject, unreachable, type Decider, type Decision } from '@chrysalis/kernel';

export type GrantAction = GrantClaims['actions'][number];
export type GrantEvent =
  | EventOf<typeof agentGatewayEvents.grantRegistered>
  | EventOf<typeof agentGatewayEvents.grantUsed>
  | EventOf<typeof agentGatewayEvents.grantRevoked>;

/** The signature was verified by the caller: a decider does no cryptography. */
export type RegisterGrant = { readonly do: 'register'; readonly claims: GrantClaims; readonly jws: string };
/** `undo`: a compensation of what the grant allowed. It is never counted, and neither expiry nor exhaustion stands in its way. */
export type UseGrant = {
  readonly do: 'use';
  readonly vmId: string;
  readonly tenant: string;
  readonly action: GrantAction;
  readonly package?: string;
  readonly taskKey: string;
  readonly at: string;
  readonly undo: boolean;
};
export type RevokeGrant = { readonly do: 'revoke'; readonly grantId: string; readonly reason: string };

export type GrantRejection = Coded<{
  readonly code:
    | 'grant.conflict'
    | 'grant.unknown'
    | 'grant.revoked'
    | 'grant.expired'
    | 'grant.exhausted'
    | 'grant.foreign_tenant'
    | 'grant.vm_not_named'
    | 'grant.action_not_named'
    | 'grant.package_not_named';
  readonly message: string;
}>;

type Grant =
  | { readonly status: 'none' }
  | { readonly status: 'registered' | 'revoked'; readonly claims: GrantClaims; readonly jws: string; readonly used: ReadonlySet<string> };
type Known = Exclude<Grant, { status: 'none' }>;

const no = (code: GrantRejection['code'], message: string): Decision<never, GrantRejection> => reject({ code, message });

const register = ({ claims, jws }: RegisterGrant, grant: Grant): Decision<GrantEvent, GrantRejection> => {
  if (grant.status === 'none')
    return accept({
      type: agentGatewayEvents.grantRegistered.type,
      data: { grantId: claims.jti, tenant: claims.iss, claims, jws },
    });
  if (canonicalJson(grant.claims) !== canonicalJson(claims)) return no('grant.conflict', `the id ${claims.jti} belongs to another grant`);
  if (grant.status === 'revoked') return no('grant.revoked', `${claims.jti} was revoked`);
  return accept(); // the same again: already so
};

/** Why this use is not allowed, or nothing. A grant allows only what it names. */
const objection = (use: UseGrant, { status, claims, used }: Known): Decision<never, GrantRejection> | undefined => {
  const { jti } = claims;
  if (status === 'revoked') return no('grant.revoked', `${jti} was revoked`);
  if (claims.iss !== use.tenant) return no('grant.foreign_tenant', `${jti} is of tenant ${claims.iss}, the work is of ${use.tenant}`);
  if (!claims.vms.includes(use.vmId)) return no('grant.vm_not_named', `${jti} does not name ${use.vmId}`);
  if (!claims.actions.includes(use.action)) return no('grant.action_not_named', `${jti} does not allow ${use.action}`);
  if (use.package !== undefined && !claims.packages.includes(use.package))
    return no('grant.package_not_named', `${jti} does not name the package ${use.package}`);
  if (use.undo) return undefined;
  if (Date.parse(use.at) >= claims.exp * 1000) return no('grant.expired', `${jti} expired at ${new Date(claims.exp * 1000).toISOString()}`);
  if (used.size >= claims.uses && !used.has(use.taskKey)) return no('grant.exhausted', `${jti} was used ${claims.uses} times`);
  return undefined;
};

const use = (command: UseGrant, grant: Grant): Decision<GrantEvent, GrantRejection> => {
  if (grant.status === 'none') return no('grant.unknown', 'no such grant');
  const refusal = objection(command, grant);
  if (refusal) return refusal;
  if (command.undo || grant.used.has(command.taskKey)) return accept(); // a replayed task is not another use
  const { vmId, taskKey, at } = command;
  return accept({
    type: agentGatewayEvents.grantUsed.type,
    data: { grantId: grant.claims.jti, vmId, use: grant.used.size + 1, taskKey, at },
  });
};

const revoke = ({ grantId, reason }: RevokeGrant, grant: Grant): Decision<GrantEvent, GrantRejection> => {
  if (grant.status === 'none') return no('grant.unknown', `no grant ${grantId}`);
  return grant.status === 'revoked' ? accept() : accept({ type: agentGatewayEvents.grantRevoked.type, data: { grantId, reason } });
};

export const grantDecider: Decider<RegisterGrant | UseGrant | RevokeGrant, Grant, GrantEvent, Decision<GrantEvent, GrantRejection>> = {
  initial: { status: 'none' },
  decide: (command, grant) => {
    switch (command.do) {
      case 'register':
        return register(command, grant);
      case 'use':
        return use(command, grant);
      case 'revoke':
        return revoke(command, grant);
      default:
        return unreachable(command);
    }
  },
  evolve: (grant, event) => {
    switch (event.type) {
      case 'chrysalis.agent-gateway.grant.registered.v1':
        return { status: 'registered', claims: event.data.claims, jws: event.data.jws, used: new Set() };
      case 'chrysalis.agent-gateway.grant.used.v1':
        return grant.status === 'none' ? grant : { ...grant, used: new Set(grant.used).add(event.data.taskKey) };
      case 'chrysalis.agent-gateway.grant.revoked.v1':
        return grant.status === 'none' ? grant : { ...grant, status: 'revoked' };
      default:
        return unreachable(event);
    }
  },
};
