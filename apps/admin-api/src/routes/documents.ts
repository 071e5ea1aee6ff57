import { Controller, Get, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { asyncapi } from '@chrysalis/contracts';
import { Allow, Doc } from '@chrysalis/service-kit';
import { from, switchMap, type Observable } from 'rxjs';
import { z } from 'zod';
import type { ApiDocument, OpenApi } from '../openapi.ts';

@Controller()
export class DocumentsController {
  readonly #document = asyncapi();

  @Get('/asyncapi.json')
  @Allow('public')
  @Doc({
    summary: 'Events, tasks and the agent channel, as AsyncAPI 3',
    answers: { 200: z.looseObject({ asyncapi: z.string() }).describe('AsyncAPI 3') },
  })
  asyncapi(): object {
    return this.#document;
  }
}

/** Every service answers /openapi.json with its own part; this one with the whole. */
export class WholeDocument implements NestInterceptor {
  constructor(private readonly api: ApiDocument) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const { url } = context.switchToHttp().getRequest<{ url: string }>();
    return url.split('?')[0] === '/openapi.json'
      ? next.handle().pipe(switchMap((own) => from(this.api.whole(own as OpenApi))))
      : next.handle();
  }
}
