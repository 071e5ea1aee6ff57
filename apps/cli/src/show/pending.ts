import type { Vm } from '@chrysalis/api-client';

/** What its next start has, and a line for each thing that this life has not. */
export const startFields = ({ bootOrder, pending }: Pick<Vm, 'bootOrder' | 'pending'>) => ({
  'boot order': bootOrder && (bootOrder.join(',') || 'default'),
  pending: pending?.map(({ what, why, now, next }) => `${what} ${now} -> ${next}: ${why}`).join('\n'),
});
