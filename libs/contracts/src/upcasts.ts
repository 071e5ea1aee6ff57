/** What an event of a released version becomes in the next one: `of` is its type without the version. */
export type Upcasting = {
  readonly of: string;
  readonly version: number;
  readonly step: (event: { readonly type: string; readonly data: unknown }) => { readonly type: string; readonly data: unknown };
};

/**
 * Every step there is. A release that changes an event adds the new version's contract and example, and here one step from the version
 * before; no step is ever changed. Stores, buses and what is parked hand out the newest version, whatever they hold.
 */
export const upcastings: readonly Upcasting[] = [];
