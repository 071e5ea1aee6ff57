import { entryOf, type Code } from '@chrysalis/contracts';
import type { Rejection } from '@chrysalis/kernel';

/**
 * What a refusal says to a person where it brings no words of its own: what was asked for, what there is, and what to do next. In `{}` stands
 * what the refusal knows; what a sentence does not use is said after it, so that nothing the decider named is lost.
 */
const sentences: Readonly<Partial<Record<Code, string>>> = {
  'allocation.conflict': '{consumer} holds something else on {hostId}: {held}; asked for was {asked}',
  'allocation.unknown': '{consumer} holds nothing on {hostId}',
  'vm.not_ready': '{vmId} is {state}',
  'vm.conflict': '{vmId} was requested as something else',
  'vm.in_move': '{vmId} is in the move {moveId}',
  'vm.not_in_move': '{vmId} is not in the move {moveId}',
  'vm.move_ended': 'the move {moveId} of {vmId} has ended',
  'vm.version_outdated': '{vmId} has changed: it was at version {expected}, and is at {actual}',
  'vm.not_on_host': '{vmId} is not on {host} but on {actual}',
  'vm.type_mismatch': '{vmId} is not a {expected} but a {actual}',
  'vm.epoch_stale': '{vmId} is at epoch {current}, not at {epoch}',
  'vm.topology_mismatch': 'the topology of {vmId} came with the hash {given} and has {computed}',
  'template.retired': 'the template {name} is retired: publish one of another name',
  'template.version_outdated': 'the newest version of {name} is {newest}, not {from}',
  'template.in_use': 'the template {name} is used by {usedBy}: wait for their end, or retire it',
  'workflow.template_retired': 'the workflow template {name} is retired: publish one of another name',
  'stream.version_mismatch': '{stream} is at version {actual}, not at {expected}',
  'migration.ended': '{migrationId} has ended: {state}',
  'migration.paused': '{migrationId} is paused until {until}, then {then}: {reason}',
  'migration.conflict': '{migrationId} runs another plan',
  'options-query.failed': '{queryId} has failed: ask again',
  'options-query.unanswered': '{queryId} has no answer yet: wait for it',
  'option.refused': 'the option {optionId} was refused: {blockers}',
  'characterisation.foreign_vm': 'what was found is of {says}, not of {vmId}',
  'workflow-policy.name_taken': 'another tenant has a policy {name}: take another name',
  'workflow-policy.disabled': 'the policy {name} is disabled: enable it first',
  'workflow-policy.foreign_tenant': 'only an administrator of the fleet may write for the tenant {tenant}',
};

/** Of which there are lists, in the words of the field. */
const nouns: Readonly<Record<string, string>> = { vm: 'VM', 'vm-type': 'VM type', type: 'VM type', template: 'migration template' };
const nounOf = (code: string): string => {
  const noun = code.slice(0, code.indexOf('.'));
  const of = code.endsWith('_unknown') ? ` ${code.slice(noun.length + 1, -'_unknown'.length)}` : '';
  return `${nouns[noun] ?? noun.replaceAll(/[-_]/g, ' ')}${of.replaceAll('_', ' ')}`;
};

/** As evidence: the names there are, for `unknown`. */
export const KNOWN = 'known';
const MOST_NAMES = 10;
const MOST_CHARACTERS = 2_000;

export const wordsOf = ({ code, message, ...evidence }: Rejection): string => {
  if (typeof message === 'string') return message;
  const { [KNOWN]: known, ...asked } = evidence;
  const there = Array.isArray(known) ? `; ${namesOf(known.map(String))}` : '';
  const sentence = sentences[code as Code];
  const text = sentence === undefined ? plain(code, asked) : filled(sentence, asked);
  return `${text}${there}`.slice(0, MOST_CHARACTERS);
};

/** `there are a, b and 3 more`. */
export const namesOf = (names: readonly string[]): string => {
  if (names.length === 0) return 'there are none';
  const more = names.length - MOST_NAMES;
  return `there ${names.length === 1 ? 'is' : 'are'} ${names.slice(0, MOST_NAMES).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
};

const plain = (code: string, asked: Readonly<Record<string, unknown>>): string => {
  const said = Object.entries(asked).filter(([, value]) => value !== undefined);
  if (/\.(.*_)?unknown$/.test(code)) return [`there is no ${nounOf(code)}`, ...said.map(([, value]) => textOf(value))].join(' ');
  const what = entryOf(code)?.title ?? code.replace('.', ': ').replaceAll('_', ' ');
  return said.length === 0 ? what : `${what} (${said.map(([name, value]) => `${name} ${textOf(value)}`).join(', ')})`;
};

const filled = (sentence: string, asked: Readonly<Record<string, unknown>>): string => {
  const used = new Set<string>();
  const text = sentence.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    used.add(name);
    return textOf(asked[name]);
  });
  const rest = Object.entries(asked).filter(([name, value]) => !used.has(name) && value !== undefined);
  return rest.length === 0 ? text : `${text} (${rest.map(([name, value]) => `${name} ${textOf(value)}`).join(', ')})`;
};

const textOf = (value: unknown): string => {
  if (value === undefined || value === null) return 'nothing';
  if (Array.isArray(value)) {
    const more = value.length - MOST_NAMES;
    return `${value.slice(0, MOST_NAMES).map(textOf).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
  }
  if (typeof value !== 'object') return String(value);
  const { message } = value as { message?: unknown };
  if (typeof message === 'string') return message;
  return Object.entries(value)
    .map(([name, inner]) => `${name} ${textOf(inner)}`)
    .join(' ');
};
