import type { Routes } from './generated/routes.gen.ts';

export type Method = keyof Routes;
/** A route as the document writes it, `/v1/vms/{id}`. */
export type PathOf<M extends Method> = keyof Routes[M] & string;
type Route<M extends Method, P extends PathOf<M>> = Routes[M][P] & { data: object; answers: object };
/** What a success answers; what a dry run would answer is the same shape. */
export type AnswerOf<M extends Method, P extends PathOf<M>> = Route<M, P>['answers'][keyof Route<M, P>['answers']];
export type BodyOf<M extends Method, P extends PathOf<M>> = Route<M, P>['data'] extends { body?: infer B } ? Exclude<B, undefined> : never;

type Data<M extends Method, P extends PathOf<M>> = Route<M, P>['data'];
type Given<T> = { [K in keyof T]: T[K] | undefined };
/** Without what the route does not take; a member of the query may be `undefined`, which is not sent. */
type Taken<D> = { [K in keyof D as K extends 'url' ? never : D[K] extends undefined ? never : K]: K extends 'query' ? Given<D[K]> : D[K] };
type Optional<T> = { [K in keyof T]-?: object extends Pick<T, K> ? never : K }[keyof T] extends never ? true : false;
/** What is sent, which may be left out where the route needs none of it. */
export type Sent<M extends Method, P extends PathOf<M>, O> =
  Optional<Taken<Data<M, P>>> extends true ? [given?: Taken<Data<M, P>> & O] : [given: Taken<Data<M, P>> & O];

/** The items of a list. */
export type ItemOf<P extends PathOf<'get'>> = AnswerOf<'get', P> extends { items: readonly (infer T)[] } ? T : never;
export type ListPath = { [P in PathOf<'get'>]: AnswerOf<'get', P> extends { items: readonly unknown[] } ? P : never }[PathOf<'get'>];
export type QueryOf<P extends PathOf<'get'>> = Data<'get', P> extends { query?: infer Q } ? Given<Exclude<Q, undefined>> : never;

type Values = Readonly<Record<string, unknown>>;
/** `/v1/vms/{id}` with its parameters and query in place. */
export const urlOf = (at: string, path: Values = {}, query: Values = {}): string => {
  const url = at.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(path[name])));
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  return given.length === 0 ? url : `${url}?${new URLSearchParams(given.map(([name, value]): [string, string] => [name, String(value)]))}`;
};
