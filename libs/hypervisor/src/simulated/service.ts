import { createServer } from 'node:http';
import { HypervisorError } from '../errors.ts';
import type { SimulatedGuest } from './guest.ts';

type Guests = { simulatedGuest(vmId: string): SimulatedGuest };

/**
 * The web service of the simulated guests of one host, at one door: `GET /<vmId>` is answered with the guest's own words (200) only
 * while the guest runs here. A guest that stands still, is away or was never here is silent: 421, ask elsewhere or again.
 */
export const serveGuests = async (guests: Guests, at: { host: string; port: number }): Promise<{ close(): void }> => {
  const server = createServer((request, response) => {
    const { status, body } = answer(guests, (request.url ?? '').slice(1, 256));
    response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(at.port, at.host, resolve));
  server.unref();
  return { close: () => void (server.close(), server.closeAllConnections()) };
};

const answer = (guests: Guests, vmId: string): { status: number; body: object } => {
  try {
    const { bootId, uptimeSeconds } = guests.simulatedGuest(vmId).facts();
    return { status: 200, body: { bootId, uptimeSeconds } };
  } catch (error) {
    if (error instanceof HypervisorError) return { status: 421, body: { code: error.code } };
    throw error;
  }
};
