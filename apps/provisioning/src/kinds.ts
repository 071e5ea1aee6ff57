import type { Type } from '@nestjs/common';
import type { KindNoun } from '@chrysalis/contracts';
import { addressPart } from './addresses/index.ts';
import { networkPart } from './networks/index.ts';
import { volumePart } from './volumes/index.ts';

/** What of the service a kind of virtual resource is: its routes, and what it does with tasks and events. */
type Part = {
  readonly controllers: readonly Type[];
  readonly handlers: readonly Type[];
};

const parts: Readonly<Record<KindNoun, Part>> = { volume: volumePart, network: networkPart, address: addressPart };

export const kindControllers = Object.values(parts).flatMap((p) => p.controllers);
export const kindHandlers = Object.values(parts).flatMap((p) => p.handlers);
