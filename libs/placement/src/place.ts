import { resources, type Code } from '@chrysalis/contracts';
import { capacity, free, minus } from './capacity.ts';
import { needOn, policies as allPolicies } from './policies.ts';
import type { Candidate, HostView, Placement, PlacementRequest, Policy, Reason, Refused, Verdict } from './types.ts';

/** Each policy's verdict on one host, passed or not: the answer to "why (not) this host". */
export const verdicts = (host: HostView, request: PlacementRequest, policies: readonly Policy[] = allPolicies): readonly Verdict[] =>
  policies.map((p) => {
    const refused = p.refuses(host, request);
    return refused ? { ok: false, policy: p.name, ...refused } : { ok: true, policy: p.name };
  });

/** Every reason why this host does not fit, in the order of the policies; none where it does. */
export const reasonsAgainst = <H, R, C extends Code>(host: H, request: R, policies: readonly Policy<H, R, C>[]): readonly Reason<C>[] => {
  const reasons: Reason<C>[] = [];
  for (const p of policies) {
    const refused = p.refuses(host, request);
    if (refused) reasons.push({ policy: p.name, ...refused });
  }
  return reasons;
};

/** How full the fullest resource would be, in millionths; integers, so that equal hosts tie on every machine. */
const dominantShare = ({ facts, held, vms }: HostView, request: PlacementRequest): number => {
  const need = needOn({ vms }, request);
  let share = 0;
  for (const r of resources) {
    const total = capacity(facts.inventory[r]);
    if (total > 0) share = Math.max(share, Math.floor(((held[r] + need[r]) * 1_000_000) / total));
  }
  return share;
};

/** The ranking, for whoever asks (ADR 43): the host that will be fullest first, so that whole hosts stay free; equal ones by id. */
const tightestFirst = (a: Candidate, b: Candidate): number => b.share - a.share || (a.hostId < b.hostId ? -1 : 1);

/**
 * Ranks hosts for a request: candidates, best first, and every refused host with all its reasons, by id. A host that the request
 * pins but nobody knows is refused as `host.unknown`. Pure and total: the same hosts in any order give the same answer.
 */
export const place = (hosts: Iterable<HostView>, request: PlacementRequest, policies: readonly Policy[] = allPolicies): Placement => {
  const candidates: Candidate[] = [];
  const refused: Refused[] = [];
  let pinKnown = request.host === undefined;
  for (const host of hosts) {
    const { hostId } = host.facts;
    if (hostId === request.host) pinKnown = true;
    const [first, ...more] = reasonsAgainst(host, request, policies);
    if (first) refused.push({ hostId, reasons: [first, ...more] });
    else candidates.push({ hostId, share: dominantShare(host, request), free: minus(free(host.facts, host.held), needOn(host, request)) });
  }
  if (!pinKnown) refused.push(unknownPin(request.host!, [...candidates, ...refused]));
  refused.sort((a, b) => (a.hostId < b.hostId ? -1 : 1));
  return { candidates: candidates.sort(tightestFirst), refused };
};

const unknownPin = (hostId: string, hosts: readonly { readonly hostId: string }[]): Refused => {
  const known = hosts.map((h) => h.hostId).sort();
  const there =
    known.length > 0 ? `there is ${known.slice(0, MOST_NAMES).join(', ')}${known.length > MOST_NAMES ? ', …' : ''}` : 'there is none';
  const message = `no host is known as ${hostId}: ${there}`;
  const remedy = 'name a host that is there, or wait for it to register';
  return { hostId, reasons: [{ policy: 'pin', code: 'host.unknown', message, remedy, evidence: { requested: hostId } }] };
};
const MOST_NAMES = 10;
