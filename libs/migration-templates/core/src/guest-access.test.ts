import { describe, expect, test } from '@jest/globals';
import type { KnownGuest } from './guest-access.ts';
import { plan } from './plan.ts';
import { AT, found, grant, guest, host, largeType, small, smallType, vm } from './test/fixtures.ts';
import { everyShape, targetOf, templateOf, type MoveShape } from './test/shapes.ts';

// What planning says of the way into a guest: it is asked for what the template needs, and for the rest only where it can be.

const shape = (change: Partial<MoveShape>): MoveShape => {
  const wanted = { move: true, guest: true, hide: false, unplugs: false, already: false, shrinks: [], ...change };
  const [grows, scripts] = [String(change.grows ?? []), String(change.scripts ?? [])];
  const same = (s: MoveShape): boolean => (Object.keys(wanted) as (keyof MoveShape)[]).every((k) => String(s[k]) === String(wanted[k]));
  return everyShape.find((s) => same(s) && String(s.grows) === grows && String(s.scripts) === scripts)!;
};
const plain = shape({});
const growing = shape({ grows: ['cpus'] });
const scripted = shape({ scripts: ['before'] });
const hidden = shape({ hide: true, grows: ['cpus'], unplugs: true });

const planned = (s: MoveShape, known: KnownGuest | undefined) => {
  const to = s.unplugs || s.grows.length > 0 ? largeType.ref : smallType.ref;
  const [move] = plan({
    planId: 'plan-1',
    at: AT,
    template: { ref: { name: 't', version: 1 }, spec: templateOf(s, { from: smallType.ref, to }, small), retired: false },
    target: { ref: to, spec: targetOf(s) },
    vms: [vm()],
    hosts: [host('h1'), host('h2')],
    guests: new Map(known ? [['vm-1', known]] : []),
  }).moves;
  const asked = move!.steps.filter((step) => step.kind.startsWith('guest.')).map((step) => step.name);
  return { blockers: move!.blockers.map((b) => b.code), without: (move!.without ?? []).map((b) => b.code), asked };
};

const at = (seconds: number): number => Date.parse(AT) / 1000 + seconds;
const ways: [string, string[], KnownGuest][] = [
  ['its grant has expired', ['grant.expired'], guest('vm-1', { grants: [grant(['vm-1'], { exp: at(-1) })] })],
  ['its grant ends while the move may run', ['grant.expires_too_soon'], guest('vm-1', { grants: [grant(['vm-1'], { exp: at(30) })] })],
  ['its grant was revoked', ['grant.revoked'], guest('vm-1', { grants: [grant(['vm-1'], {}, { revoked: true })] })],
  ['its grant is used up', ['grant.exhausted'], guest('vm-1', { grants: [grant(['vm-1'], { uses: 10 }, { used: 10 })] })],
  ['its grant is of another VM', ['grant.unknown'], guest('vm-1', { grants: [grant(['vm-2'])] })],
  ['the guest started anew', ['guest.agent_away'], guest('vm-1', { rebooted: true })],
  ['both', ['guest.agent_away', 'grant.expired'], guest('vm-1', { rebooted: true, grants: [grant(['vm-1'], { exp: at(-1) })] })],
  ['only qemu-ga is there', ['guest.agent_absent'], guest('vm-1', { characterisation: { ...found('vm-1'), source: 'qemu-ga' } })],
];

describe('the way into a guest, as planning sees it', () => {
  test.each(ways)('%s: a move that needs nothing of it goes without, one that does is blocked and told what to do', (_, codes, known) => {
    for (const s of [plain, hidden]) expect([s.name, planned(s, known)]).toEqual([s.name, { blockers: [], without: codes, asked: [] }]);
    for (const s of [growing, scripted]) expect([s.name, planned(s, known).blockers]).toEqual([s.name, codes]);
  });

  test('where it can be asked it is, before and after, also by a move that does not need it', () => {
    expect(planned(plain, guest('vm-1'))).toEqual({ blockers: [], without: [], asked: ['guest-facts', 'verify-guest'] });
    expect(planned(growing, guest('vm-1')).asked).toEqual(['guest-facts', 'online-cpus', 'verify-guest']);
  });

  test('of several grants one is enough; an action that none of them allows is named', () => {
    const expired = grant(['vm-1'], { jti: 'g0', exp: at(-1) });
    expect(planned(growing, guest('vm-1', { grants: [expired, grant(['vm-1'])] })).blockers).toEqual([]);
    const looking = grant(['vm-1'], { actions: ['characterise'] });
    expect(planned(plain, guest('vm-1', { grants: [looking] })).without).toEqual([]);
    expect(planned(scripted, guest('vm-1', { grants: [looking] })).blockers).toEqual(['grant.action_not_named']);
  });

  test('a guest that nobody looked into: a plain move needs no more, and a script is blocked once', () => {
    expect(planned(plain, undefined)).toEqual({ blockers: [], without: ['guest.agent_absent'], asked: [] });
    expect(planned(scripted, undefined).blockers).toEqual(['option.capability_unknown']);
  });

  test('a grant has to outlast the scripts of the template', () => {
    const grants = [grant(['vm-1'], { exp: at(63) })]; // a minute, and 1 s for the memory
    expect(planned(growing, guest('vm-1', { grants })).blockers).toEqual([]);
    expect(planned(scripted, guest('vm-1', { grants })).blockers).toEqual(['grant.expires_too_soon']); // 5 s more
  });
});
