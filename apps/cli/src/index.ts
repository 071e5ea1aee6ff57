export {
  createClient,
  type Client,
  type ClientOptions,
  type Operation,
  type Progress,
  type RequestOptions,
  type WaitOptions,
} from './client.ts';
export { ApiError, OperationTimeout, type Problem } from './errors.ts';
export type { SseEvent } from './sse.ts';
