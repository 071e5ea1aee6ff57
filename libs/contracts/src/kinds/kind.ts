import type { z } from 'zod';
import type { CodeEntries } from '../codes/entry.ts';
import type { CommandContract } from '../commands.ts';
import type { EventContract } from '../define.ts';

/** A command's route: `post /v1/volumes/:id/attach`. `name` is the door's own for it, and no other route's. */
export type KindRoute = {
  readonly name: string;
  readonly verb: `${'post' | 'patch' | 'delete'} /v1/${string}`;
  readonly command: CommandContract;
};

/**
 * A kind of virtual resource: what the layers have in common about it. Its things are a tenant's, each a stream `<noun>-<uuid>` of provisioning
 * and a row of the read model `plural`, which `GET /v1/<plural>[/:id]` answers. How to add one: docs/reference/kinds.md.
 */
export type Kind = {
  /** Of its streams, codes, events and commands: `volume.unknown`, `chrysalis.provisioning.volume.created.v1`. */
  readonly noun: string;
  /** Of its paths, and the table of its read model. */
  readonly plural: string;
  readonly events: Readonly<Record<string, EventContract>>;
  readonly codes: CodeEntries;
  readonly routes: readonly KindRoute[];
  /** A row of the read model, and what it may be filtered by: query parameter -> member of the row, which is a column of the table. */
  readonly view: z.ZodType;
  readonly states: readonly string[];
  readonly filters: Readonly<Record<string, { readonly member: string; readonly help: string }>>;
};
