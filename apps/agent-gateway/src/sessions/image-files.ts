import { existsSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { verifyToken, type ServiceContext } from '@chrysalis/service-kit';
import { depotFile, GONE } from '@chrysalis/service-kit/images';

const PREFIX = '/v1/image-files/';
const AT_ONCE = 64;

/**
 * `GET /v1/image-files/<digest>.<format>` for host agents, with their token and, to go on where it stopped, `Range`. What has a name in the
 * depot is whole and never changes, so nothing is asked of anybody; the agent holds what came to the digest. Answers whether it was one.
 */
export const imageFiles = ({
  config,
  log,
}: Pick<ServiceContext, 'config' | 'log'>): ((q: IncomingMessage, a: ServerResponse) => boolean) => {
  let serving = 0;
  return (request, response) => {
    if (request.url?.startsWith(PREFIX) !== true || request.method !== 'GET') return false;
    if (serving >= AT_ONCE) return (response.writeHead(503, { 'retry-after': '1' }).end(), true);
    serving++;
    serve(config, request, response)
      .catch((err: unknown) => {
        log.debug({ err }, 'an image was not served to its end');
        response.destroy();
      })
      .finally(() => serving--);
    return true;
  };
};

const serve = async (config: ServiceContext['config'], request: IncomingMessage, response: ServerResponse): Promise<void> => {
  if (!(await isHost(config, request))) return void response.writeHead(403).end();
  const path = config.images && depotFile(config.images.depot, request.url!.slice(PREFIX.length));
  const file = path === undefined ? undefined : await open(path, 'r').catch(() => undefined);
  if (!file) return void response.writeHead(path !== undefined && existsSync(`${path}${GONE}`) ? 410 : 404).end();
  try {
    await send(file, request, response);
  } finally {
    await file.close();
  }
};

const isHost = async (config: ServiceContext['config'], { headers }: IncomingMessage): Promise<boolean> => {
  const token = /^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1];
  const caller = token === undefined ? undefined : await verifyToken(config.tokenKey, token);
  return caller?.roles.includes('host-agent') === true;
};

const send = async (file: FileHandle, { headers }: IncomingMessage, response: ServerResponse): Promise<void> => {
  const { size } = await file.stat();
  const from = Number(/^bytes=([0-9]{1,15})-$/.exec(headers.range ?? '')?.[1] ?? 0);
  if (from > size) return void response.writeHead(416).end();
  response.writeHead(from > 0 ? 206 : 200, { 'content-type': 'application/octet-stream', 'content-length': size - from });
  if (from === size) return void response.end();
  await pipeline(file.createReadStream({ start: from, autoClose: false, highWaterMark: 1_048_576 }), response);
};
