import { accept, reject, unreachable, type Decider, type Decision } from '@chrysalis/kernel';
import { type Cause, type Coded, type EventOf, migrationTemplatesEvents as events, type WorkflowRequest } from '@chrysalis/contracts';
import type { OptionsAnswer } from './options.ts';

// Stream `options-query-<id>`

export type AskOptions = Readonly<{
  kind: 'ask';
  queryId: string;
  vmIds: readonly string[];
  grantId?: string | undefined;
  request?: WorkflowRequest | undefined;
}>;
export type AnswerOptions = Readonly<{ kind: 'answer'; queryId: string; answer: OptionsAnswer }>;
export type FailOptions = Readonly<{ kind: 'fail'; queryId: string; cause: Cause }>;
export type OptionsQueryEvent =
  EventOf<typeof events.optionsQueried> | EventOf<typeof events.optionsAnswered> | EventOf<typeof events.optionsFailed>;
export type OptionsQueryState =
  | Readonly<{ status: 'none' }>
  | Readonly<{
      status: 'asked' | 'answered' | 'failed';
      vmIds: readonly string[];
      grantId?: string | undefined;
      answer?: OptionsAnswer;
      cause?: Cause;
    }>;
export type OptionsQueryRejection = Coded<
  { readonly code: 'options-query.unknown'; readonly queryId: string } | { readonly code: 'options-query.failed'; readonly queryId: string }
>;

export const optionsQueryDecider: Decider<
  AskOptions | AnswerOptions | FailOptions,
  OptionsQueryState,
  OptionsQueryEvent,
  Decision<OptionsQueryEvent, OptionsQueryRejection>
> = {
  initial: { status: 'none' },
  decide: (c, state) => {
    if (c.kind === 'ask') {
      if (state.status !== 'none') return accept();
      const { queryId, vmIds, grantId, request } = c;
      return accept({
        type: events.optionsQueried.type,
        data: { queryId, vmIds: [...vmIds], ...(grantId ? { grantId } : {}), ...(request ? { request } : {}) },
      });
    }
    if (state.status === 'none') return reject({ code: 'options-query.unknown', queryId: c.queryId });
    if (c.kind === 'fail')
      return state.status === 'asked'
        ? accept({ type: events.optionsFailed.type, data: { queryId: c.queryId, cause: c.cause } })
        : accept();
    if (state.status === 'failed') return reject({ code: 'options-query.failed', queryId: c.queryId });
    return state.status === 'answered'
      ? accept()
      : accept({ type: events.optionsAnswered.type, data: { queryId: c.queryId, ...c.answer } });
  },
  evolve: (state, event) => {
    switch (event.type) {
      case events.optionsQueried.type:
        return { status: 'asked', vmIds: event.data.vmIds, grantId: event.data.grantId };
      case events.optionsAnswered.type: {
        const { queryId: _, ...answer } = event.data;
        return state.status === 'none' ? state : { ...state, status: 'answered', answer };
      }
      case events.optionsFailed.type:
        return state.status === 'none' ? state : { ...state, status: 'failed', cause: event.data.cause };
      default:
        return unreachable(event);
    }
  },
};
