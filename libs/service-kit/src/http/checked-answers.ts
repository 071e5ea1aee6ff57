import { StreamableFile, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { faultText } from '@chrysalis/contracts';
import type { FastifyReply } from 'fastify';
import { tap, type Observable } from 'rxjs';
import type { z } from 'zod';
import type { ApiRequest } from '../access/auth.ts';
import { Answer } from './commands.ts';
import { answerOf, docOf, Media } from './documentation.ts';

/** Set for tests, see jest.config.mjs. In production nothing is checked: an answer with a member too many is still an answer. */
export const checksAnswers = (): boolean => process.env['CHRYSALIS_CHECK_ANSWERS'] === 'on';

/** Every success is what its route declares, to the last member. */
export class CheckedAnswers implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const http = context.switchToHttp();
    return next.handle().pipe(
      tap((value: unknown) => {
        if (http.getResponse<FastifyReply | undefined>()?.sent || value instanceof StreamableFile) return;
        const doc = docOf(context.getHandler());
        const { status, body } = value instanceof Answer ? value : { status: undefined, body: value };
        if (!doc || doc.passedOn || (status !== undefined && status >= 300)) return;
        const request = http.getRequest<ApiRequest>();
        const dry = new URL(request.url, 'http://here').searchParams.get('dryRun') === 'true';
        const faults = faultsOf(answerOf(doc)!, status, body, dry);
        if (faults.length === 0) return;
        const message = `${request.method} ${request.url} answers what it does not declare: ${faults.join('; ')}`;
        process.stderr.write(`${message}\n`);
        throw new Error(message);
      }),
    );
  }
}

const faultsOf = (
  declared: NonNullable<ReturnType<typeof answerOf>>,
  status: number | undefined,
  body: unknown,
  dry: boolean,
): readonly string[] => {
  if (declared.is instanceof Media) return [];
  return [
    ...(status === undefined || dry || status === declared.status ? [] : [`status ${status}, not ${declared.status}`]),
    ...differences(declared.is, dry ? withoutDryRun(body) : body),
  ];
};

const withoutDryRun = (body: unknown): unknown => {
  const { dryRun: _, ...rest } = body as { dryRun?: true };
  return rest;
};

/** What of a value, as it goes out, its schema does not say; what is missing, and what is too much. */
export const differences = (schema: z.ZodType, value: unknown): readonly string[] => {
  const sent: unknown = value === undefined ? undefined : JSON.parse(JSON.stringify(value));
  const parsed = schema.safeParse(sent);
  return parsed.success ? beyond(sent, parsed.data, '') : [faultText(parsed.error)];
};

/** A schema leaves out what it does not know: that is too much. */
const beyond = (sent: unknown, known: unknown, path: string): string[] => {
  if (typeof sent !== 'object' || sent === null) return [];
  return Object.entries(sent).flatMap(([name, value]) => {
    const place = path === '' ? name : `${path}.${name}`;
    if (typeof known !== 'object' || known === null || !Object.hasOwn(known, name)) return [`${place}: not declared`];
    return beyond(value, (known as Record<string, unknown>)[name], place);
  });
};
