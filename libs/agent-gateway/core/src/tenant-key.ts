import { agentGatewayEvents, type Coded, type EventOf } from '@chrysalis/contracts';
import { accept, canonicalJson, reject, type Decider, type Decision } from '@chrysalis/kernel';

type Trusted = EventOf<typeof agentGatewayEvents.tenantKeyTrusted>;
export type TrustKey = Trusted['data'];
export type TenantKeyRejection = Coded<{ readonly code: 'tenant-key.conflict'; readonly message: string }>;
type Keys = ReadonlyMap<string, Record<string, unknown>>;

/** A key id stands for one key for ever: a grant that was verified by it must mean the same later. */
export const tenantKeyDecider: Decider<TrustKey, Keys, Trusted, Decision<Trusted, TenantKeyRejection>> = {
  initial: new Map(),
  decide: (command, keys) => {
    const known = keys.get(command.kid);
    if (!known) return accept({ type: agentGatewayEvents.tenantKeyTrusted.type, data: command });
    return canonicalJson(known) === canonicalJson(command.publicKeyJwk)
      ? accept()
      : reject({ code: 'tenant-key.conflict', message: `${command.kid} is another key` });
  },
  evolve: (keys, { data }) => new Map(keys).set(data.kid, data.publicKeyJwk),
};
