import { resources, type Amounts, type HostFacts, type Inventory, type Resource } from '@chrysalis/contracts';

export const nothing: Amounts = { vcpu: 0, memoryMiB: 0, diskMiB: 0 };
export const plus = (a: Amounts, b: Amounts): Amounts => each((r) => a[r] + b[r]);
export const minus = (a: Amounts, b: Amounts): Amounts => each((r) => a[r] - b[r]);
/** What `wanted` needs beyond `already`: never below zero. */
export const beyond = (wanted: Amounts, already: Amounts): Amounts => each((r) => Math.max(0, wanted[r] - already[r]));
export const same = (a: Amounts, b: Amounts): boolean => resources.every((r) => a[r] === b[r]);
const each = (f: (r: Resource) => number): Amounts => ({ vcpu: f('vcpu'), memoryMiB: f('memoryMiB'), diskMiB: f('diskMiB') });

/** What may be held of a resource in all. A reserve larger than the total leaves nothing, not less than nothing. */
export const capacity = (i: Inventory): number => Math.floor((Math.max(0, i.total - i.reserved) * i.ratioPerMille) / 1000);
export const capacityOf = (facts: HostFacts): Amounts => each((r) => capacity(facts.inventory[r]));

/** What is free: the only place that says so. Negative where a host reported less than is already held on it. */
const freeOf = (facts: HostFacts, held: Amounts, r: Resource): number => capacity(facts.inventory[r]) - held[r];
export const free = (facts: HostFacts, held: Amounts): Amounts => each((r) => freeOf(facts, held, r));

export type Shortage = Readonly<{ resource: Resource; requested: number; free: number; capacity: number }>;
/** Every resource of which there is too little. Asking for none of a resource always fits. */
export const shortages = (facts: HostFacts, held: Amounts, requested: Amounts): readonly Shortage[] => {
  let short: Shortage[] | undefined; // most hosts have room, and there may be ten thousand: nothing is made for those
  for (const resource of resources) {
    const wanted = requested[resource];
    if (wanted === 0) continue;
    const left = freeOf(facts, held, resource);
    if (wanted > left) (short ??= []).push({ resource, requested: wanted, free: left, capacity: capacity(facts.inventory[resource]) });
  }
  return short ?? [];
};

export type Misfit = Readonly<{ resource: Resource; requested: number; min: number; max: number; step: number }>;
/** Every resource asked for in an amount that the host does not give to one consumer: below min, above max, or between steps. */
export const misfits = (facts: HostFacts, requested: Amounts): readonly Misfit[] => {
  let wrong: Misfit[] | undefined;
  for (const resource of resources) {
    const { min, max, step } = facts.inventory[resource];
    const n = requested[resource];
    if (n !== 0 && (n < min || n > max || n % step !== 0)) (wrong ??= []).push({ resource, requested: n, min, max, step });
  }
  return wrong ?? [];
};
