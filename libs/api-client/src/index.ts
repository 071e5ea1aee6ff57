export {
  createClient,
  withRequest,
  type Client,
  type ClientOptions,
  type Progress,
  type RequestOptions,
  type WaitOptions,
} from './client.ts';
export { ApiError, OperationTimeout, type Problem } from './errors.ts';
export type * from './generated/types.gen.ts';
export type { AnswerOf, BodyOf, ItemOf, ListPath, QueryOf } from './routes.ts';
export type { SseEvent } from './sse.ts';
