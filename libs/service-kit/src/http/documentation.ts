import { RequestMethod, SetMetadata, type Type } from '@nestjs/common';
import type { z } from 'zod';
import { neededBy, type Guarded } from '../access/auth.ts';
import { ownerOf } from '../access/belongings.ts';

export type RouteDoc = {
  readonly summary: string;
  readonly body?: z.ZodType;
  /** By status. Of a success its schema, or the media type of what is no JSON; of a refusal its codes. */
  readonly answers: Readonly<Record<number, z.ZodType | Media | string>>;
  /** What the query may have, and nothing else. */
  readonly query?: Readonly<Record<string, QueryParameter>>;
  /** Of a route that changes something and has no `dryRunQuery`: why it cannot be tried. */
  readonly noDryRun?: string;
  /** Passed to an owner as it came: what the query may have, and what is answered, is that one's to say. */
  readonly passedOn?: true;
};
/** A schema of the text, with a description; or a description alone, for any text. */
export type QueryParameter = string | z.ZodType<string, string>;
/** An answer that is no JSON. */
export class Media {
  constructor(
    readonly type: string,
    readonly description: string,
  ) {}
}
export const eventStream = (description: string): Media => new Media('text/event-stream', description);

const DOC = 'chrysalis:doc';
/** What a route does, takes and answers, for the OpenAPI document. */
export const Doc = (doc: RouteDoc): MethodDecorator => SetMetadata(DOC, doc);
export const docOf = (handler: object): RouteDoc | undefined => Reflect.getMetadata(DOC, handler) as RouteDoc | undefined;

/** Of a success: its status and what it is. */
export const answerOf = ({ answers }: RouteDoc): { readonly status: number; readonly is: z.ZodType | Media } | undefined =>
  Object.entries(answers).flatMap(([status, is]) =>
    typeof is !== 'string' && Number(status) < 300 ? [{ status: Number(status), is }] : [],
  )[0];

export type Route = { readonly method: string; readonly path: string; readonly handler: object; readonly name: string };

export const routesOf = (controllers: readonly Type[]): Route[] =>
  controllers.flatMap((controller) => {
    const prefix = [Reflect.getMetadata('path', controller) as string | string[] | undefined].flat()[0] ?? '';
    const prototype = controller.prototype as Record<string, object>;
    return Object.getOwnPropertyNames(prototype).flatMap((name) => {
      const handler = prototype[name];
      if (typeof handler !== 'function' || name === 'constructor') return [];
      const path = Reflect.getMetadata('path', handler) as string | string[] | undefined;
      if (path === undefined) return [];
      const method = RequestMethod[Reflect.getMetadata('method', handler) as number] ?? 'GET';
      return [path]
        .flat()
        .map((p) => ({ method, path: `/${[prefix, p].join('/')}`.replaceAll(/\/+/g, '/'), handler, name: `${controller.name}.${name}` }));
    });
  });

/** What the guard goes by. Throws when a route says not what it needs, or nobody wrote down whose its things are: a forgotten line must not become an open door. */
export const guardedRoutes = (controllers: readonly Type[]): readonly Guarded[] => {
  const routes = routesOf(controllers).map((r) => ({ ...r, needed: neededBy(r.handler) }));
  const bare = routes.filter((r) => r.needed === undefined);
  if (bare.length > 0) throw new Error(`routes without @Allow: ${bare.map((r) => r.name).join(', ')}`);
  const nobodys = routes.filter((r) => r.needed !== 'public' && ownerOf(r.path) === undefined);
  if (nobodys.length > 0) throw new Error(`routes to things that are not in \`belongings\`: ${nobodys.map((r) => r.name).join(', ')}`);
  return routes.map(({ method, path, needed }) => ({ method, path, needed: needed! }));
};

/** Throws where a route does not say what it answers: who calls it would have to guess. */
export const documentedRoutes = (controllers: readonly Type[]): readonly (Route & { readonly doc: RouteDoc })[] => {
  const routes = routesOf(controllers).map((r) => ({ ...r, doc: docOf(r.handler) }));
  const silent = routes.filter(({ doc }) => !doc || (!doc.passedOn && !answerOf(doc)));
  if (silent.length > 0) throw new Error(`routes without the schema of their answer in @Doc: ${silent.map((r) => r.name).join(', ')}`);
  return routes as readonly (Route & { readonly doc: RouteDoc })[];
};
