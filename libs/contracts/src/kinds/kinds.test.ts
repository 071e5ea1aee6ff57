import { describe, expect, test } from '@jest/globals';
import { CODES, commandContracts, contextOf, kinds, provisioningEvents } from '../index.ts';

describe.each(kinds.map((k) => [k.noun, k] as const))('the kind %s', (noun, kind) => {
  test('has one name in events, commands, codes and paths', () => {
    for (const { type } of Object.values(kind.events)) {
      expect(type).toMatch(new RegExp(`^chrysalis\\.provisioning\\.${noun}\\.`));
      expect(contextOf.get(type)).toBe('provisioning');
    }
    for (const { command, verb } of kind.routes) {
      expect(command.type).toMatch(new RegExp(`^chrysalis\\.provisioning\\.${noun}\\.`));
      expect(commandContracts.get(command.type)).toBe(command);
      expect(verb).toMatch(new RegExp(`^\\w+ /v1/${kind.plural}(/|$)`));
      expect(verb.match(/:\w+/g) ?? []).toEqual(command.params.map((p) => `:${p}`));
    }
    for (const code of Object.keys(kind.codes)) expect(code).toMatch(new RegExp(`^${noun}\\.`));
    expect(CODES).toMatchObject(kind.codes);
    expect(CODES).toHaveProperty([`${noun}.unknown`, 'status'], 404);
  });

  test('says what its rows are: each filter is a member of them, and so is the state', () => {
    const members = Object.keys(kind.view.shape);
    expect(members).toEqual(expect.arrayContaining(['state', 'tenant', ...Object.values(kind.filters).map((f) => f.member)]));
    expect(kind.states).toContain('deleted');
  });
});

test('no kind takes a name that VMs have', () => {
  const names = Object.values(provisioningEvents).map((e) => e.type.split('.')[2]);
  expect(kinds.filter((k) => names.includes(k.noun))).toEqual([]);
});
