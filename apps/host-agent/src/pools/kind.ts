import type { PoolRoom } from '@chrysalis/contracts';

/**
 * A kind of storage pool: what tells one pool from another, and how much room is in it. A further kind is one file like `folder.ts` and a line
 * in `index.ts`; its volumes are files in `directory`, which is all that drivers know of a pool.
 */
export type PoolKind = {
  readonly kind: string;
  /**
   * Which pool this is. What proves that two hosts share it has to be in the pool itself, not in what a host is told of it: a name, or a path,
   * is the same on two hosts that share nothing. The first who asks makes it, and it never changes.
   */
  readonly identity: (directory: string, newId: () => string) => Promise<string>;
  /** What the pool's own files take, and what they could take beyond that. */
  readonly room: (directory: string) => Promise<PoolRoom>;
};
