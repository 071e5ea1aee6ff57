import { CODES } from '@chrysalis/contracts';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { refused } from '../handlers/task-results.ts';
import { ProblemError } from './problems.ts';
import { namesOf, wordsOf } from './words.ts';

describe('a refusal says', () => {
  test('what was asked for, whatever its code: nothing that the decider named is lost', () => {
    const evidence = fc.dictionary(fc.stringMatching(/^[a-z]{1,10}$/), fc.oneof(fc.stringMatching(/^[a-z0-9]{6}$/), fc.integer()), {
      maxKeys: 4,
    });
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(CODES)), evidence, (code, given) => {
        const { code: _, message: __, known: ___, ...asked } = given;
        const words = wordsOf({ ...asked, code });
        for (const value of Object.values(asked)) expect(words).toContain(String(value));
      }),
    );
  });

  test('and what there is', () => {
    expect(wordsOf({ code: 'host.unknown', hostId: 'nope', known: ['h1', 'h2'] })).toBe('there is no host nope; there are h1, h2');
    expect(wordsOf({ code: 'image.unknown', image: 'linux@7', known: [] })).toBe('there is no image linux@7; there are none');
    expect(wordsOf({ code: 'workflow.template_unknown', template: 'copy', known: ['a@1'] })).toBe(
      'there is no workflow template copy; there is a@1',
    );
    expect(namesOf(Array.from({ length: 13 }, (_, i) => `h${i}`))).toMatch(/^there are h0, .*, h9 and 3 more$/);
  });

  test('in a sentence, with lists and amounts', () => {
    expect(wordsOf({ code: 'vm.in_move', vmId: 'vm-1', moveId: 'mov-2' })).toBe('vm-1 is in the move mov-2');
    expect(wordsOf({ code: 'vm.not_on_host', vmId: 'vm-1', host: 'h1', actual: undefined })).toBe('vm-1 is not on h1 but on nothing');
    expect(
      wordsOf({ code: 'allocation.conflict', consumer: 'vm:a', hostId: 'h1', held: { vcpu: 1, memoryMiB: 512 }, asked: { vcpu: 2 } }),
    ).toBe('vm:a holds something else on h1: vcpu 1 memoryMiB 512; asked for was vcpu 2');
    expect(wordsOf({ code: 'option.refused', optionId: 'o', blockers: [{ code: 'x', message: 'no room' }] })).toBe(
      'the option o was refused: no room',
    );
    expect(wordsOf({ code: 'some.thing_else' })).toBe('some: thing else');
  });

  test('the same as a problem, with what to do, and as the cause of a task', () => {
    expect(ProblemError.of({ code: 'vm.in_move', vmId: 'vm-1', moveId: 'mov-2' }).problem).toEqual({
      status: 409,
      code: 'vm.in_move',
      title: 'The VM is in a move',
      detail: 'vm-1 is in the move mov-2',
      next: 'chrysalis vm get vm-1 shows the move that has it, how it stands, and what takes it on',
      vmId: 'vm-1',
      moveId: 'mov-2',
    });
    expect(ProblemError.of({ code: 'vm.in_move', vmIds: ['vm-1'] }).problem.next).toMatch(/^chrysalis migration list/);
    expect(ProblemError.ofMember({ code: 'vm.unknown', vmId: 'vm-1' }).problem.status).toBe(422);
    expect(ProblemError.of({ code: 'host.unknown', hostId: 'x', known: ['h1'] }).problem.detail).toBe('there is no host x; there is h1');
    expect(refused({ code: 'host.unknown', hostId: 'nope', known: ['h1'] }).cause).toMatchObject({
      code: 'host.unknown',
      message: 'there is no host nope; there is h1',
      detail: { hostId: 'nope' },
    });
  });
});
