import type { INestApplication } from '@nestjs/common';
import { ROUTE_ARGS_METADATA } from '@nestjs/common/constants.js';
import { RouteParamtypes } from '@nestjs/common/internal';
import { ExternalContextCreator } from '@nestjs/core';
import type { CommandRequest } from '../access/auth.ts';
import type { Answer } from '../http/commands.ts';
import type { Commanded } from './as-message.ts';

/** A request that no connection brought: what guards, interceptors and a command's method read of one. */
export type MessageRequest = CommandRequest & {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
};
export type Invoke = (request: MessageRequest) => Promise<Answer>;

/** What `context.getType()` says of such a request, in guards and interceptors. */
const MESSAGE = 'message';

/**
 * A route's method, to be called for a message: by the seam that Nest has for handlers outside HTTP (its GraphQL goes by it), so with the
 * same guards and interceptors. What they and the method throw comes out as it is.
 */
export const invoker = (app: INestApplication, { controller, name }: Commanded): Invoke => {
  const instance = app.get<Record<string, (...args: unknown[]) => unknown>>(controller);
  const args = {
    exchangeKeyForValue: (type: number, data: unknown, [request]: [MessageRequest]): unknown => {
      if (type === RouteParamtypes.REQUEST) return request;
      if (type === RouteParamtypes.PARAM) return request.params[String(data)];
      throw new Error(`${controller.name}.${name} has an argument that a message does not have`);
    },
  };
  const options = { guards: true, interceptors: true, filters: false };
  const creator = app.get(ExternalContextCreator);
  return creator.create(
    instance,
    instance[name]!,
    name,
    ROUTE_ARGS_METADATA,
    args as never,
    undefined,
    undefined,
    options,
    MESSAGE as never,
  ) as Invoke;
};
