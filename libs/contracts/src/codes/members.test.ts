import { describe, expect, test } from '@jest/globals';
import { CODES, problemMembers, type Coded, type Refusal } from './index.ts';

describe('what a refusal brings beside its code', () => {
  test('compiles only where a problem document has no member of that name of its own', () => {
    // @ts-expect-error: the document's `status` is that of the answer
    const status: Coded<{ code: 'vm.halted'; status: string }> = { code: 'vm.halted', status: 'stopped' };
    // @ts-expect-error: one case of several is enough
    const type: Coded<{ code: 'vm.unknown'; vmId: string } | { code: 'vm.conflict'; type: string }> = {
      code: 'vm.conflict',
      type: 'small',
    };
    const bare: Refusal = { code: 'vm.unknown', vmId: 'vm-1' };
    const refusals: Refusal[] = [
      bare,
      // @ts-expect-error: as are all the others
      { ...bare, type: 'small@1' },
      // @ts-expect-error: it is the document’s own
      { ...bare, title: 'a title' },
      // @ts-expect-error: it is the document’s own
      { ...bare, status: 'stopped' },
      // @ts-expect-error: it is the document’s own
      { ...bare, detail: 'more' },
      // @ts-expect-error: it is the document’s own
      { ...bare, instance: 'i-1' },
      // @ts-expect-error: it is the document’s own
      { ...bare, next: 'a later one' },
    ];
    const tried = [...refusals, status, type].flatMap((refusal) => Object.keys(refusal)).filter((m) => m !== 'code' && m !== 'vmId');
    expect(new Set(tried)).toEqual(new Set(problemMembers));
  });

  test('is what the catalogue fills its advice with: no member of the document itself', () => {
    const filledWith = Object.entries(CODES).flatMap(([code, { next }]) =>
      [next].flat().flatMap((text) => [...text.matchAll(/(?<!\$)\{(\w+)\}/g)].map(([, name]) => [code, name!] as const)),
    );
    const reserved = new Set<string>(['code', ...problemMembers]);
    expect(filledWith.length).toBeGreaterThan(10);
    expect(filledWith.filter(([, name]) => reserved.has(name))).toEqual([]);
  });
});
