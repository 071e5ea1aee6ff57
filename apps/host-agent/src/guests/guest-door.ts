import { createServer } from 'node:http';
import type { Guests } from './guests.ts';

/**
 * For where no network leads to the guests of a host: `GET /<vmId>` is 200 once the guest itself has answered, over its serial port.
 * One that stands still, is away or was never here is silent: 421, ask elsewhere or again.
 */
export const openGuestDoor = async (guests: Pick<Guests, 'answers'>, at: { host: string; port: number }): Promise<void> => {
  const server = createServer((request, response) => {
    const vmId = (request.url ?? '').slice(1, 256);
    void guests.answers(vmId).then((answers) => {
      response.writeHead(answers ? 200 : 421, { 'content-type': 'application/json' }).end(`${JSON.stringify({ vmId, answers })}\n`);
    });
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(at.port, at.host, resolve));
  server.unref();
};
