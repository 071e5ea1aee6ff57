import { SetMetadata, type Type } from '@nestjs/common';
import type { CommandContract } from '@chrysalis/contracts';
import type { Guarded, Needed } from '../access/auth.ts';
import { neededBy } from '../access/auth.ts';
import { routesOf } from '../http/documentation.ts';

const COMMANDS = 'chrysalis:commands';
/** The commands that a route's method takes as messages as well: with its `@Allow`, its belongings, its bounds and its answers. */
export const AsMessage = (...contracts: readonly CommandContract[]): MethodDecorator => SetMetadata(COMMANDS, contracts);

export type Commanded = {
  readonly contract: CommandContract;
  readonly route: Guarded & { readonly needed: Exclude<Needed, 'public'> };
  readonly controller: Type;
  /** The name of the controller's method. */
  readonly name: string;
};

/** By type. Throws where two methods take one type, where the public may command, and where a path has other parts than the contract says. */
export const commandsOf = (controllers: readonly Type[]): ReadonlyMap<string, Commanded> => {
  const commands = new Map<string, Commanded>();
  for (const commanded of controllers.flatMap(commandedBy)) {
    const { type } = commanded.contract;
    if (commands.has(type)) throw new Error(`${commanded.name} is the second to take ${type}`);
    commands.set(type, commanded);
  }
  return commands;
};

const commandedBy = (controller: Type): Commanded[] =>
  routesOf([controller]).flatMap(({ method, path, handler, name }) =>
    ((Reflect.getMetadata(COMMANDS, handler) as readonly CommandContract[] | undefined) ?? []).map((contract) => {
      const needed = neededBy(handler);
      if (needed === undefined || needed === 'public') throw new Error(`${name} takes ${contract.type}, and does not say from whom`);
      const named = [...contract.params, ...Object.keys(contract.fixed)].sort().join();
      if (namesIn(path).sort().join() !== named) throw new Error(`${name} is at ${path}, and ${contract.type} names ${named}`);
      return { contract, route: { method, path, needed }, controller, name: name.split('.')[1]! };
    }),
  );

const namesIn = (path: string): string[] => [...path.matchAll(/:(\w+)/g)].map((m) => m[1]!);
