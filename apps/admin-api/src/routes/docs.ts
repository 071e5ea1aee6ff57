import { views } from '@chrysalis/contracts';
import { pageQuery, type QueryParameter, type RouteDoc } from '@chrysalis/service-kit';
import { z } from 'zod';

export const listDoc = (summary: string, item: z.ZodType, query: Readonly<Record<string, QueryParameter>> = {}): RouteDoc => ({
  summary,
  query: { ...pageQuery, ...query },
  answers: { 200: views.pageOf(item) },
});
/** One of these, or `all`. */
export const oneOf = (values: readonly string[], description: string): QueryParameter =>
  z.enum(['all', ...values]).describe(`${description}: ${values.join(', ')}, or all`);

export const oneDoc = (summary: string, one: z.ZodType): RouteDoc => ({
  summary,
  answers: { 200: one, 304: 'Unchanged since the version in `If-None-Match`' },
});

/** Query, body and answers are in the owner's part of the document. */
export const passedDoc = (summary: string): RouteDoc => ({ summary, passedOn: true, answers: {} });
