import {
  type Blocker,
  type Characterisation,
  type Code,
  type GrantClaims,
  guestCommands,
  isGuestCommand,
  memoryMiBOf,
  type TaskDefinition,
  type TemplateSpec,
} from '@chrysalis/contracts';
import { blocker } from './blockers.ts';
import type { KnownVm } from './known.ts';

/** A grant as it stands. */
export type StandingGrant = Readonly<{ grantId: string; claims: GrantClaims; revoked: boolean; used: number }>;

/** What is known of the way into a guest. `rebooted`: it started anew after it was characterised, and what was added to it did not. */
export type KnownGuest = Readonly<{ characterisation?: Characterisation | undefined; rebooted: boolean; grants: readonly StandingGrant[] }>;
export const unknownGuest: KnownGuest = { rebooted: false, grants: [] };

/** Whether the guest is asked; if not, why not: what stands in the way of a template that needs it, and what any other goes without. */
export type GuestAccess = Readonly<{ ask: boolean; blockers: readonly Blocker[]; without: readonly Blocker[] }>;

const MARGIN_MS = 60_000;
const byAction = (tasks: readonly Pick<TaskDefinition, 'kind'>[]): string[] =>
  tasks.flatMap(({ kind }) => {
    const name = kind.slice('guest.'.length);
    return kind.startsWith('guest.') && isGuestCommand(name) ? [guestCommands[name].action ?? 'none'] : [];
  });

/** Steps that only an agent in the guest can carry out. What the guest shows before and after is asked for where it can be. */
export const needsAgent = (spec: Pick<TemplateSpec, 'preMigration' | 'hotUnplug' | 'postMigration' | 'midMigration'>): boolean =>
  spec.preMigration.length + spec.postMigration.length + (spec.midMigration?.running.length ?? 0) > 0 ||
  spec.hotUnplug.some(({ kind }) => kind === 'unplug-cpus' || kind === 'unplug-memory');

/**
 * `tasks` are those of the move if the guest is asked. A grant has to outlast them: memory sent twice, every script to its limit. One
 * that ends in the middle would leave a VM that has moved and that nobody may finish.
 */
export const guestAccess = (
  { vmId, topology }: Pick<KnownVm, 'vmId' | 'topology'>,
  spec: TemplateSpec,
  tasks: readonly Pick<TaskDefinition, 'kind'>[],
  guest: KnownGuest,
  at: string,
): GuestAccess => {
  const asks = byAction(tasks);
  if (asks.length === 0) return { ask: false, blockers: [], without: [] };
  const until = Date.parse(at) + MARGIN_MS + longest(topology, spec);
  const unknown = guest.characterisation === undefined || guest.characterisation.source === 'failsafe';
  const reasons = [...agentReasons(vmId, guest), ...(unknown ? [] : grantReasons(vmId, asks, guest.grants, { at: Date.parse(at), until }))];
  if (needsAgent(spec) && unknown) return { ask: false, blockers: [], without: [] }; // nobody knows what it can do: that says it all
  if (!needsAgent(spec)) return { ask: reasons.length === 0, blockers: [], without: reasons.map(goesWithout) };
  return { ask: guest.characterisation?.source === 'agent', blockers: reasons, without: [] };
};

/** Memory sent twice, every script to its limit, and an approval that comes at the last moment. */
const longest = (topology: KnownVm['topology'], spec: TemplateSpec): number => {
  const { preMigration, midMigration, postMigration, migration, options } = spec;
  const scripts = [...preMigration, ...(midMigration?.running ?? []), ...postMigration].reduce(
    (ms, s) => ms + (s.kind === 'guest-script' ? s.timeoutMs : 0),
    0,
  );
  if (migration.length === 0) return scripts;
  return scripts + (2_000 * memoryMiBOf(topology)) / options.maxBandwidthMiBps + (options.approval?.withinMs ?? 0);
};

const goesWithout = (b: Blocker): Blocker => ({ ...b, message: `what the guest shows is not compared: ${b.message}` });
const anew = 'ask for the options with a grant: that adds the agent anew';

const agentReasons = (vmId: string, { characterisation, rebooted }: KnownGuest): Blocker[] => {
  if (characterisation?.source !== 'agent') return [blocker('guest.agent_absent', vmId, `no migration agent is in ${vmId}`, anew)];
  if (!rebooted) return [];
  return [blocker('guest.agent_away', vmId, `${vmId} started anew after it was characterised, and its agent did not`, anew)];
};

type Times = Readonly<{ at: number; until: number }>;
/** One reason for each action that no grant allows; of several grants the one that lasts longest says why, as at the gateway. */
const grantReasons = (vmId: string, asks: readonly string[], grants: readonly StandingGrant[], times: Times): Blocker[] => {
  const naming = grants.filter((g) => g.claims.vms.includes(vmId)).sort((a, b) => b.claims.exp - a.claims.exp);
  const found = [...new Set(asks)].flatMap((action): Blocker[] => {
    const refusals = naming.map((g) => refusal(g, action, asks.length, times));
    if (refusals.includes(undefined)) return [];
    const [code, why] = refusals[0] ?? ['grant.unknown', 'no grant names it'];
    return [blocker(code, vmId, `the agent in ${vmId} may not be asked: ${why}`, `register a grant over ${vmId} that allows ${action}`)];
  });
  return found.filter((b, i) => found.findIndex((x) => x.message === b.message) === i);
};

const refusal = (
  { claims, revoked, used }: StandingGrant,
  action: string,
  uses: number,
  { at, until }: Times,
): [Code, string] | undefined => {
  const { jti, exp } = claims;
  const end = new Date(exp * 1000).toISOString();
  if (revoked) return ['grant.revoked', `${jti} was revoked`];
  if (!(claims.actions as readonly string[]).includes(action)) return ['grant.action_not_named', `${jti} does not allow ${action}`];
  if (exp * 1000 <= at) return ['grant.expired', `${jti} expired at ${end}`];
  if (exp * 1000 <= until)
    return ['grant.expires_too_soon', `${jti} expires at ${end}, and the move may take until ${new Date(until).toISOString()}`];
  if (claims.uses - used < uses) return ['grant.exhausted', `${jti} has ${Math.max(0, claims.uses - used)} uses left, ${uses} are needed`];
  return undefined;
};
