import { open, rm, stat, statfs } from 'node:fs/promises';
import { get as httpGet, type IncomingMessage } from 'node:http';
import { get as httpsGet } from 'node:https';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PeerAnswer, PeerRequest } from '@chrysalis/contracts';
import { TaskFailure } from '../execution/task-failure.ts';
import { digestOf } from './store.ts';

export type Source = Extract<PeerAnswer, { type: 'image' }>;
/** Where a file can be had: `bytes` of it, for whoever shows the ticket. */
type Place = { readonly url: string; readonly ticket: string; readonly bytes: number };
type Wanted = {
  readonly digest: string;
  /** What came so far is here, also from an earlier try. */
  readonly part: string;
  readonly signal: AbortSignal;
};
export type Fetch = Wanted & { readonly image: string; readonly fromHost: string };
/** Through the gateway. Rejects without an answer. */
export type AskHost = (host: string, request: PeerRequest) => Promise<PeerAnswer>;

const TRIES = 6;
const SILENCE_MS = 10_000;

/** From another host. */
export const fetchImage = (ask: AskHost, fetch: Fetch): Promise<Source> =>
  fetchWhole(fetch, async () => {
    const source = await sourceOf(ask, fetch);
    return { ...source, url: `http://${source.address}/images/${fetch.image}` };
  });

/** Brings the whole file into `part`, with its digest checked; goes on where an earlier try stopped. A fault in the content starts over. */
export const fetchWhole = async <P extends Place>(wanted: Wanted, find: () => Promise<P>): Promise<P> => {
  for (let attempt = 1; ; attempt++) {
    try {
      const place = await find();
      await assertRoom(wanted.part, place.bytes);
      await download(place, wanted);
      await verify(place, wanted);
      return place;
    } catch (error) {
      wanted.signal.throwIfAborted();
      if (attempt === TRIES || (error instanceof TaskFailure && !error.retriable)) throw error;
      await sleep(Math.min(2_000, 100 * 2 ** attempt), undefined, { signal: wanted.signal }).catch(() => wanted.signal.throwIfAborted());
    }
  }
};

const sourceOf = async (ask: AskHost, { image, digest, fromHost }: Fetch): Promise<Source> => {
  const answer = await ask(fromHost, { type: 'image', image, digest }).catch((error: Error) => {
    throw new TaskFailure('host.peer_unreachable', `no answer from ${fromHost}: ${error.message}`, true);
  });
  if (answer.type === 'image') return answer;
  if (answer.type === 'refused') throw TaskFailure.told(answer.cause);
  throw new TaskFailure('host.peer_unreachable', `${fromHost} answered ${answer.type}`);
};

/** On the file system where `part` is, or is to be. */
export const assertRoom = async (part: string, bytes: number): Promise<void> => {
  const { bavail, bsize } = await statfs(dirname(part));
  const missing = bytes - (await sizeOf(part));
  if (missing > bavail * bsize) throw new TaskFailure('host.disk_short', `${missing} bytes needed, ${bavail * bsize} free`);
};

/** Appends what is missing. What breaks off is an error, and what came stays. */
const download = async (source: Place, { part, signal }: Wanted): Promise<void> => {
  const from = await sizeOf(part);
  if (from > source.bytes) await rm(part, { force: true });
  if (from === source.bytes) return;
  const start = from > source.bytes ? 0 : from;
  const response = await request(source.url, source.ticket, start, signal);
  const file = await open(part, 'a', 0o600);
  let size = start;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > source.bytes) throw new TaskFailure('host.image_corrupt', 'more came than was said', true);
      await file.writeFile(chunk);
    }
  } finally {
    response.destroy();
    await file.close();
  }
  if (size < source.bytes) throw new TaskFailure('host.image_incomplete', `${size} of ${source.bytes} bytes came`, true);
};

export const request = (url: string, ticket: string, from: number, signal: AbortSignal): Promise<IncomingMessage> =>
  new Promise((done, fail) => {
    const headers = { authorization: `Bearer ${ticket}`, ...(from > 0 ? { range: `bytes=${from}-` } : {}) };
    const get = url.startsWith('https:') ? httpsGet : httpGet;
    const asked = get(url, { headers, signal, timeout: SILENCE_MS, agent: false as const }, (response) => {
      if (response.statusCode === (from > 0 ? 206 : 200)) return done(response);
      response.resume();
      if (response.statusCode === 404) return fail(new TaskFailure('host.image_missing', `${url} is not there`));
      if (response.statusCode === 410) return fail(new TaskFailure('host.image_deleted', `${url}: the image was deleted`));
      fail(new TaskFailure('host.image_refused', `${url} answered ${response.statusCode}`, true));
    });
    asked.on('timeout', () => asked.destroy(new TaskFailure('host.peer_unreachable', `nothing came for ${SILENCE_MS} ms`, true)));
    asked.on('error', (error) =>
      fail(error instanceof TaskFailure ? error : new TaskFailure('host.peer_unreachable', `${url}: ${error.message}`, true)),
    );
  });

/** Not what was asked for: nothing of it is kept. */
const verify = async ({ bytes }: Place, { part, digest, signal }: Wanted): Promise<void> => {
  const came = (await sizeOf(part)) === bytes ? await digestOf(part, signal) : 'something shorter';
  if (came === digest) return;
  await rm(part, { force: true });
  throw new TaskFailure('host.image_corrupt', `${came} came, not ${digest}`, true);
};

const sizeOf = async (path: string): Promise<number> => (await stat(path).catch(() => undefined))?.size ?? 0;
