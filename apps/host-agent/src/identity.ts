import { generateKeyPairSync, createPrivateKey, randomUUID, sign } from 'node:crypto';
import { join } from 'node:path';
import { agentProof, HostAgentIdentity } from '@chrysalis/contracts';
import { z } from 'zod';
import { makeDirectory, readIfThere, writeDurably } from './durable/files.ts';

const Key = z.object({ kty: z.literal('OKP'), crv: z.literal('Ed25519'), x: HostAgentIdentity.shape.key, d: z.string() });
const File = z.object({ key: Key, instances: HostAgentIdentity.shape.after });
type File = z.infer<typeof File>;

const MOST = 64;

/**
 * Who this agent is: a key that was made at its first start, and an instance that is new with each process. On disk are the instance that
 * was welcomed last and those that asked since then, so that one that was killed between any two lines is followed by the next.
 */
export class Identity {
  readonly #instance = randomUUID();
  #file: File | undefined;
  #reading: Promise<void> | undefined;

  constructor(private readonly directory: string) {}

  /** Before it asks: what it will say is on disk. Rejects while that can't be; the next connection tries again. */
  ready(): Promise<void> {
    this.#reading ??= this.#begin().finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  /** `nonce`: of the connection. After `ready`. */
  prove(hostId: string, nonce: string): HostAgentIdentity {
    const { key, instances } = this.#file!;
    const said = { instance: this.#instance, after: instances.filter((i) => i !== this.#instance) };
    const signature = sign(null, Buffer.from(agentProof(nonce, hostId, said)), createPrivateKey({ key, format: 'jwk' }));
    return { key: key.x, ...said, signature: signature.toString('base64url') };
  }

  /** The gateway knows this instance now: the older ones are nobody's any more. */
  async welcomed(): Promise<void> {
    if (this.#file!.instances.length > 1) await this.#write({ ...this.#file!, instances: [this.#instance] });
  }

  async #begin(): Promise<void> {
    if (this.#file) return;
    await makeDirectory(this.directory);
    const text = await readIfThere(this.#path);
    const { key, instances } = text === undefined ? { key: newKey(), instances: [] } : File.parse(JSON.parse(text));
    // The first is the one that was welcomed; which of the others the gateway may have heard nobody knows, so the newest stay.
    const before = instances.length < MOST ? instances : [instances[0]!, ...instances.slice(2 - MOST)];
    await this.#write({ key, instances: [...before, this.#instance] });
  }

  async #write(file: File): Promise<void> {
    await writeDurably(this.#path, JSON.stringify(file));
    this.#file = file;
  }

  get #path(): string {
    return join(this.directory, 'identity.json');
  }
}

const newKey = (): z.infer<typeof Key> => Key.parse(generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' }));
