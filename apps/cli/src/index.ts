export { createClient, type Client, type ClientOptions, type Progress, type RequestOptions, type WaitOptions } from './client.ts';
export type { Operation } from './operation.ts';
export { ApiError, OperationTimeout, type Problem } from './errors.ts';
export type { SseEvent } from './sse.ts';
