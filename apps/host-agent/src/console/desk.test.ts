import { beforeEach, describe, expect, test } from '@jest/globals';
import { CONSOLE_TYPED_WINDOW, CONSOLE_WINDOW, type ConsoleFromAgent, type ConsoleToAgent } from '@chrysalis/contracts';
import { ConsoleRing, HypervisorError, type GuestConsole } from '@chrysalis/hypervisor';
import { newVmState } from '../durable/vm-state.ts';
import { ConsoleDesk } from './desk.ts';

/** A guest whose console takes what is typed when it is let. */
class Guest {
  readonly ring = new ConsoleRing();
  readonly typed: string[] = [];
  takes: Promise<void> = Promise.resolve();
  readonly console = Object.assign(this.ring as unknown as GuestConsole, {
    type: async (bytes: Buffer) => {
      await this.takes;
      this.typed.push(bytes.toString());
    },
  });
}

describe('the consoles of a host', () => {
  let guest: Guest;
  let sent: ConsoleFromAgent[];
  let desk: ConsoleDesk;
  let screen: () => Promise<Buffer>;
  const open = (session: string, more: Partial<Extract<ConsoleToAgent, { type: 'console-open' }>> = {}): void =>
    desk.take({ type: 'console-open', session, vmId: 'vm-1', what: 'terminal', write: false, force: false, by: session, tail: 0, ...more });
  const type = (session: string, text: string): void =>
    desk.take({ type: 'console-typed', session, data: Buffer.from(text).toString('base64') });
  const of = <T extends ConsoleFromAgent['type']>(session: string, kind: T) =>
    sent.filter((f): f is Extract<ConsoleFromAgent, { type: T }> => f.session === session && f.type === kind);
  const text = (session: string): string =>
    Buffer.concat(of(session, 'console-output').map((f) => Buffer.from(f.data, 'base64'))).toString();
  const ended = (session: string): string | undefined => of(session, 'console-closed')[0]?.cause?.code;
  const settled = (): Promise<void> => new Promise((done) => setTimeout(done, 20));

  beforeEach(() => {
    guest = new Guest();
    sent = [];
    screen = () => Promise.reject(new HypervisorError('hypervisor.no_display', 'none'));
    desk = new ConsoleDesk({
      driver: { consoleOf: () => guest.console, screen: () => screen() },
      states: { get: (vmId) => (vmId === 'vm-1' ? { ...newVmState(vmId, 'acme', 1), role: 'runner' } : undefined) },
      send: (frame) => void sent.push(JSON.parse(JSON.stringify(frame)) as ConsoleFromAgent),
    });
  });

  test('one types and any read; who takes the place by force has it, and what the other had not typed yet is not typed', async () => {
    open('a', { write: true });
    open('b');
    open('c', { write: true });
    await settled();
    expect([ended('a'), ended('b'), ended('c')]).toEqual([undefined, undefined, 'console.has_writer']);
    const gate = Promise.withResolvers<void>();
    guest.takes = gate.promise;
    type('a', 'first');
    type('a', 'late');
    type('b', 'no writer');
    await settled();
    open('d', { write: true, force: true });
    await settled();
    expect(of('a', 'console-reads')).toMatchObject([{ by: 'd' }]);
    expect(of('d', 'console-opened')).toMatchObject([{ writer: true, tookFrom: 'a' }]);
    type('d', 'mine');
    gate.resolve();
    await settled();
    expect(guest.typed).toEqual(['first', 'mine']);
    expect(of('a', 'console-took').map((f) => f.bytes)).toEqual([5, 4]); // dropped or not, they are no more on their way
    guest.ring.add(Buffer.from('hello'));
    await settled();
    expect(['a', 'b', 'd'].map(text)).toEqual(['hello', 'hello', 'hello']);
    expect(of('b', 'console-output')).toHaveLength(1);
  });

  test('a reader has what its credit lets it have, and is told what it missed', async () => {
    open('slow');
    await settled();
    guest.ring.add(Buffer.alloc(CONSOLE_WINDOW, 'x'));
    await settled();
    for (let i = 0; i < 4; i++) guest.ring.add(Buffer.alloc(60_000, 'y'));
    await settled();
    expect(text('slow').length).toBe(CONSOLE_WINDOW);
    const kept = guest.ring.end - guest.ring.start;
    desk.take({ type: 'console-passed', session: 'slow', bytes: 1_000 });
    expect(of('slow', 'console-output').at(-1)).toMatchObject({ skipped: guest.ring.end - kept - CONSOLE_WINDOW });
    expect(text('slow').length).toBe(CONSOLE_WINDOW + 1_000);
  });

  test('who types without waiting is cut off; a guest that is off is said', async () => {
    open('a', { write: true });
    await settled();
    guest.takes = new Promise(() => undefined);
    for (let n = 0; n <= CONSOLE_TYPED_WINDOW; n += 1_024) type('a', 'z'.repeat(1_024));
    expect(ended('a')).toBe('console.flooding');
    open('b', { write: true });
    guest.takes = Promise.reject(new HypervisorError('hypervisor.no_console', 'off'));
    await settled();
    type('b', 'x');
    await settled();
    expect(of('b', 'console-notice')).toMatchObject([{ cause: { code: 'hypervisor.no_console' } }]);
    expect(of('b', 'console-took')).toMatchObject([{ bytes: 1 }]);
  });

  test('a log and a picture end by themselves; a VM that is not here, moves or goes is said, after the last that it wrote', async () => {
    guest.ring.add(Buffer.from('one two'));
    open('log', { what: 'log', tail: 3 });
    screen = () => Promise.resolve(Buffer.alloc(100_000, 'p'));
    open('picture', { what: 'screen' });
    open('elsewhere', { vmId: 'vm-2' });
    await settled();
    expect([text('log'), of('log', 'console-closed')]).toEqual(['two', [{ type: 'console-closed', session: 'log' }]]);
    desk.take({ type: 'console-passed', session: 'picture', bytes: CONSOLE_WINDOW });
    expect([text('picture').length, of('picture', 'console-closed').length]).toEqual([100_000, 1]);
    expect(ended('elsewhere')).toBe('console.not_here');
    open('a');
    await settled();
    guest.ring.add(Buffer.from('last'));
    desk.moved('vm-1', 'h2');
    expect([text('a'), ended('a')]).toEqual(['last', 'console.moved']);
    open('b');
    await settled();
    guest.ring.over();
    expect(ended('b')).toBe('console.over');
    open('c');
    await settled();
    desk.lost();
    guest.ring.add(Buffer.from('nobody'));
    await settled();
    expect(text('c')).toBe('');
  });
});
