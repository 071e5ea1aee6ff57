import { randomBytes } from 'node:crypto';
import { open } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import type { PeerAnswer } from '@chrysalis/contracts';
import type { Logger as Log } from '@chrysalis/service-kit/log';
import type { DiskImages } from './store.ts';

const TICKET_MS = 600_000;
const MOST_TICKETS = 1_000;
const MOST_CONNECTIONS = 32;
const CHUNK = 262_144;

type Ticket = { readonly image: string; readonly digest: string; readonly until: number };
type Options = {
  readonly images: DiskImages;
  readonly host: string;
  readonly port: number;
  readonly now: () => number;
  readonly log: Log;
  readonly at: (point: string, context: { image: string; chunk: string }) => Promise<void>;
};

/**
 * Gives images to other hosts: `GET /images/<name>` with a ticket as bearer's token, and `Range` to go on where it stopped. Tickets
 * are asked for through the gateway, which knows who asks, are good for one image and ten minutes, and are gone after a restart.
 */
export class ImageServer {
  readonly #tickets = new Map<string, Ticket>();
  readonly #server;
  #address = '';

  constructor(private readonly o: Options) {
    this.#server = createServer({ requestTimeout: 10_000, keepAliveTimeout: 1_000 }, (request, response) => {
      this.#serve(request, response).catch((err: unknown) => {
        o.log.debug({ err }, 'an image was not served to its end');
        response.destroy();
      });
    });
    this.#server.maxConnections = MOST_CONNECTIONS;
  }

  async listen(): Promise<void> {
    const { host, port } = this.o;
    await new Promise<void>((done, fail) => {
      this.#server.once('error', fail);
      this.#server.listen(port, host, () => done());
    });
    this.#address = `${host}:${(this.#server.address() as { port: number }).port}`;
  }

  /** What another host's agent asks through the gateway. */
  async ticket(image: string, digest: string): Promise<PeerAnswer> {
    const manifest = await this.o.images.get(image);
    if (manifest?.digest !== digest)
      return { type: 'refused', cause: { code: 'host.image_unknown', message: `no image ${image} of ${digest} on this host` } };
    for (const [old, { until }] of this.#tickets) if (until < this.o.now() || this.#tickets.size >= MOST_TICKETS) this.#tickets.delete(old);
    const ticket = randomBytes(24).toString('base64url');
    this.#tickets.set(ticket, { image, digest, until: this.o.now() + TICKET_MS });
    const { format, sizeMiB, bytes } = manifest;
    return { type: 'image', address: this.#address, ticket, format, sizeMiB, bytes };
  }

  close(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((done) => this.#server.close(() => done()));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const ticket = this.#ticketOf(request);
    if (!ticket) return void response.writeHead(403).end();
    const { image } = ticket;
    if ((await this.o.images.get(image))?.digest !== ticket.digest) return void response.writeHead(404).end();
    const from = Number(/^bytes=([0-9]{1,15})-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const file = await open(this.o.images.file(image), 'r'); // from here on it is this file, whatever happens to its name
    try {
      const { size } = await file.stat();
      if (from > size) return void response.writeHead(416).end();
      response.writeHead(from > 0 ? 206 : 200, { 'content-type': 'application/octet-stream', 'content-length': size - from });
      await pipeline(this.#chunks(file, from, image), response);
    } finally {
      await file.close();
    }
  }

  /** The one that a request shows, if it is good for what is asked. */
  #ticketOf({ method, url, headers }: IncomingMessage): Ticket | undefined {
    const image = /^\/images\/([a-z0-9-]{1,63})$/.exec(url ?? '')?.[1];
    const ticket = this.#tickets.get(/^Bearer ([A-Za-z0-9_-]{32})$/.exec(headers.authorization ?? '')?.[1] ?? '');
    if (!ticket || method !== 'GET' || ticket.image !== image || ticket.until < this.o.now()) return undefined;
    return ticket;
  }

  async *#chunks(file: Awaited<ReturnType<typeof open>>, from: number, image: string): AsyncGenerator<Buffer> {
    for (let at = from, chunk = 0; ; chunk++) {
      await this.o.at('image:serve', { image, chunk: String(chunk) });
      const { bytesRead, buffer } = await file.read({ buffer: Buffer.allocUnsafe(CHUNK), position: at });
      if (bytesRead === 0) return;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }
}
