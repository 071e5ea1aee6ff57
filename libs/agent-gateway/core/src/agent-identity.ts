import { type Coded, type HostAgentIdentity, IDENTITY_SINCE } from '@chrysalis/contracts';

/** What is known of the agents of one host: the one that has it, and the keys that an operator took it from. */
export type HostAgents = { readonly current?: { readonly key: string; readonly instance: string }; readonly released: ReadonlySet<string> };
export type Said = Pick<HostAgentIdentity, 'key' | 'instance' | 'after'>;
export type IdentityRefusal = Coded<{
  readonly code: 'agent.identity_missing' | 'agent.identity_conflict' | 'agent.identity_copied' | 'agent.identity_released';
  readonly message: string;
}>;
/** `first`: from now on the host is this agent's. `same`: the process that is known. `follows`: its next one. */
export type Verdict =
  { readonly ok: true; readonly is: 'unknown' | 'first' | 'same' | 'follows' } | ({ readonly ok: false } & IdentityRefusal);

/**
 * Whether the one that asks is the agent that the host has. The first one that says who it is has the host, until an operator releases
 * it. Two copies of one disk have one key: the one that was heard first is known by its instance, which the other one cannot follow.
 */
export const judgeAgent = (hostId: string, { current, released }: HostAgents, said: Said | undefined, protocol: number): Verdict => {
  if (!said) {
    if (!current && protocol < IDENTITY_SINCE) return { ok: true, is: 'unknown' };
    return no(
      'agent.identity_missing',
      current ? `${hostId} has an agent, and this one does not say who it is` : 'it does not say who it is',
    );
  }
  if (released.has(said.key))
    return no(
      'agent.identity_released',
      `${hostId} was taken from this agent (key ${short(said.key)}): a new one needs a new data directory`,
    );
  if (!current) return { ok: true, is: 'first' };
  if (current.key !== said.key)
    return no('agent.identity_conflict', `${hostId} has the agent ${short(current.key)}, this is ${short(said.key)}: ${advice}`);
  if (current.instance === said.instance) return { ok: true, is: 'same' };
  if (said.after.includes(current.instance)) return { ok: true, is: 'follows' };
  return no('agent.identity_copied', `agent ${short(said.key)} of ${hostId} has gone on since this data directory was copied: ${advice}`);
};

/** A key as people compare it. */
const short = (key: string): string => key.slice(0, 8);

const advice =
  'give a second agent a hostId of its own; where the host was replaced, stop its old agent and release it (chrysalis host release-agent)';
const no = (code: IdentityRefusal['code'], message: string): Verdict => ({ ok: false, code, message });
