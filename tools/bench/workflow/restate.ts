// Restate as its documentation has it: a service over HTTP/2 with bidirectional streaming, each step a `ctx.run`, called through the ingress.
import { createServer, type ServerHttp2Session } from 'node:http2';
import { Agent, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createEndpointHandler, service, type Context } from '@restatedev/restate-sdk';
import { serve, steps, type Contender } from './turn.ts';

const flows = service({
  name: 'flows',
  handlers: {
    fiveSteps: async (ctx: Context) => {
      for (let i = 0; i < steps; i++) await ctx.run(`step-${i}`, () => undefined);
    },
  },
});

const open = async ({ ingress, admin, version }: Record<string, string>): Promise<Contender> => {
  const server = createServer(createEndpointHandler({ services: [flows] }));
  const sessions = new Set<ServerHttp2Session>();
  server.on('session', (session) => sessions.add(session));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const registered = await fetch(`${admin}/deployments`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ uri: `http://127.0.0.1:${port}` }),
  });
  if (!registered.ok) throw new Error(`Restate did not take the service: ${await registered.text()}`);
  const agent = new Agent({ keepAlive: true });
  return {
    version: version!,
    flow: () => call(`${ingress}/flows/fiveSteps`, agent),
    close: async () => {
      agent.destroy();
      for (const session of sessions) session.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};

/** Answered when the flow is complete. */
const call = (url: string, agent: Agent): Promise<void> =>
  new Promise((resolve, reject) => {
    const sent = request(url, { method: 'POST', agent }, (answer) => {
      answer.resume();
      answer.on('end', () => (answer.statusCode === 200 ? resolve() : reject(new Error(`the ingress answered ${answer.statusCode}`))));
    });
    sent.on('error', reject);
    sent.end();
  });

await serve(open);
