import type { Recorded } from '../recorded.ts';
import { corpus } from './corpus.ts';

const vmId = 'vm-0199c0de-0000-7000-8000-00000000005e';
const observed = { state: 'gone', since: '2026-11-29T09:20:00.000Z' };
const planned = (attempt: number) => ({ attempt, dueAt: `2026-11-29T09:2${attempt}:10.000Z`, observed });
const start = (attempt?: number) => ({
  action: 'start',
  options: { force: true },
  ...(attempt === undefined ? {} : { restart: { attempt, observed } }),
});
const stop = { action: 'stop', options: {} };
const succeeded = { outcome: 'succeeded' };
const failed = { outcome: 'failed', cause: { code: 'host.fault', message: 'no' } };

type Step = readonly [what: string, data: object, restart: object];
/** What is told of a VM whose policy starts it again and again, and its `restart` in the read model after each. */
const steps: readonly Step[] = [
  ['requested', { restart: 'on-failure' }, { policy: 'on-failure' }],
  ['placed', {}, { policy: 'on-failure' }],
  ['booted', {}, { policy: 'on-failure' }],
  ['restart-planned', planned(1), { policy: 'on-failure', attempts: 1, dueAt: planned(1).dueAt }],
  ['action-requested', start(1), { policy: 'on-failure', attempts: 1 }],
  ['action-ended', { action: 'start', ...succeeded }, { policy: 'on-failure', attempts: 1 }],
  ['restart-planned', planned(2), { policy: 'on-failure', attempts: 2, dueAt: planned(2).dueAt }],
  ['restart-called-off', { attempts: 2, reason: 'runs' }, { policy: 'on-failure', attempts: 2 }],
  ['restart-called-off', { attempts: 8, reason: 'limit' }, { policy: 'on-failure', attempts: 8, gaveUp: true }],
  ['action-requested', start(), { policy: 'on-failure' }],
  ['action-ended', { action: 'start', ...failed }, { policy: 'on-failure' }],
  ['restart-planned', planned(1), { policy: 'on-failure', attempts: 1, dueAt: planned(1).dueAt }],
  ['restart-policy-set', { policy: 'always' }, { policy: 'always' }],
  ['restart-planned', planned(1), { policy: 'always', attempts: 1, dueAt: planned(1).dueAt }],
  ['action-requested', stop, { policy: 'always' }],
  ['action-ended', { action: 'stop', ...failed }, { policy: 'always' }],
  ['restart-planned', planned(1), { policy: 'always', attempts: 1, dueAt: planned(1).dueAt }],
  ['move-begun', {}, { policy: 'always', attempts: 1 }],
  ['move-ended', {}, { policy: 'always', attempts: 1 }],
  ['restart-planned', planned(2), { policy: 'always', attempts: 2, dueAt: planned(2).dueAt }],
  ['deletion-requested', {}, { policy: 'always', attempts: 2 }],
];
export const restartsOf = steps.map(([, , restart]) => restart);

/** Its stream, made of the examples. */
export const restarted = (): Recorded[] => {
  const examples = corpus();
  return steps.map(([what, data], i) => {
    const example = examples.find((e) => e.type === `chrysalis.provisioning.vm.${what}.v1`);
    if (!example) throw new Error(`there is no example of ${what}`);
    const id = `0199c0de-1000-7000-8000-00000005e0${String(i).padStart(2, '0')}`;
    return { ...example, id, stream: vmId, version: i + 1, data: { ...(example.data as object), ...data, vmId } };
  });
};
