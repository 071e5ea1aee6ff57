import { agentsCodes } from './agents.ts';
import { consolesCodes } from './consoles.ts';
import type { CodeEntry } from './entry.ts';
import { formerNames } from './former.ts';
import { grantsCodes } from './grants.ts';
import { guestsCodes } from './guests.ts';
import { hostsCodes } from './hosts.ts';
import { hypervisorCodes } from './hypervisor.ts';
import { movesCodes } from './moves.ts';
import { policiesCodes } from './policies.ts';
import { poolsCodes } from './pools.ts';
import { requestsCodes } from './requests.ts';
import { addressCodes } from '../kinds/address/codes.ts';
import { networkCodes } from '../kinds/network/codes.ts';
import { volumeCodes } from '../kinds/volume/codes.ts';
import { vmsCodes } from './vms.ts';
import { workflowsCodes } from './workflows.ts';

export type { CodeEntry } from './entry.ts';

/** Every code by its area, as the reference has them. */
export const codeAreas = {
  Requests: requestsCodes,
  'VMs, types and images': vmsCodes,
  Volumes: volumeCodes,
  Networks: networkCodes,
  'Reserved addresses': addressCodes,
  'Consoles and screens': consolesCodes,
  'Hosts and placement': hostsCodes,
  'Storage pools': poolsCodes,
  'Options, templates, plans and migrations': movesCodes,
  Workflows: workflowsCodes,
  'Workflow policies': policiesCodes,
  Grants: grantsCodes,
  'Agents and executors': agentsCodes,
  Guests: guestsCodes,
  Hypervisors: hypervisorCodes,
} as const;

/** The one catalogue: what is refused, or did not happen, has one of these codes. One meaning, one code. */
export const CODES = {
  ...requestsCodes,
  ...vmsCodes,
  ...volumeCodes,
  ...networkCodes,
  ...addressCodes,
  ...consolesCodes,
  ...hostsCodes,
  ...poolsCodes,
  ...movesCodes,
  ...workflowsCodes,
  ...policiesCodes,
  ...grantsCodes,
  ...agentsCodes,
  ...guestsCodes,
  ...hypervisorCodes,
} as const;

export type Code = keyof typeof CODES;
type Statuses = { readonly [C in Code]: (typeof CODES)[C] extends { readonly status: infer S } ? S : never };
type OfStatus<S> = { [C in Code]: [Statuses[C]] extends [never] ? never : Statuses[C] extends S ? C : never }[Code];
/** May be the answer to a request. */
export type ProblemCode = OfStatus<number>;
/** What was named is not there: 404 where the path names it, 422 where a member of the body does. */
export type UnknownCode = OfStatus<404>;
export type GuestCode = keyof typeof guestsCodes | keyof typeof grantsCodes;
export type HypervisorCode = keyof typeof hypervisorCodes;

/** What a problem document has of its own, beside `code`. Evidence of such a name would hide it, or be hidden by it. */
export const problemMembers = ['type', 'title', 'status', 'detail', 'instance', 'next'] as const;
type NoProblemMembers = { readonly [M in (typeof problemMembers)[number]]?: never };
/** A refusal with a listed code; further members are evidence, and `message`, where there is one, its words. */
export type Refusal<C extends Code = Code> = { readonly code: C; readonly [evidence: string]: unknown } & NoProblemMembers;
/** A union of refusals, each with a listed code and no member that a problem document has of its own: another one does not compile. */
export type Coded<R extends { readonly code: Code } & NoProblemMembers> = R;

export const formerCodes: Readonly<Record<string, Code>> = formerNames;

/** Agents' codes come over the wire, and those in stored events may be old: `undefined` where nothing is known of one. */
export const listedCode = (code: string): Code | undefined => {
  if (Object.hasOwn(CODES, code)) return code as Code;
  return Object.hasOwn(formerCodes, code) ? formerCodes[code] : undefined;
};

export const entryOf = (code: string): CodeEntry | undefined => {
  const listed = listedCode(code);
  return listed && CODES[listed];
};

/** What the agent in a guest may say: what was called otherwise before has the name of today. */
export const guestCode = (code: string): GuestCode | undefined => {
  const listed = listedCode(code);
  return listed && (Object.hasOwn(guestsCodes, listed) || Object.hasOwn(grantsCodes, listed)) ? (listed as GuestCode) : undefined;
};

/** What to do next, said with what came with the code. */
export const nextOf = (code: string, evidence: Readonly<Record<string, unknown>> = {}): string | undefined =>
  [entryOf(code)?.next ?? []].flat().flatMap((text) => filled(text, evidence) ?? [])[0];

const filled = (text: string, evidence: Readonly<Record<string, unknown>>): string | undefined => {
  let whole = true;
  const said = text.replaceAll(/(?<!\$)\{(\w+)\}/g, (_, name: string) => {
    const value = evidence[name];
    if (typeof value === 'string' || typeof value === 'number') return String(value);
    whole = false;
    return '';
  });
  return whole ? said : undefined;
};
