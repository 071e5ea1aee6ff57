import { Ajv2020 } from 'ajv/dist/2020.js';

export type Parameter = { readonly name: string; readonly in: string; readonly schema: { readonly enum?: readonly string[] } };
type Responses = Readonly<Record<string, { readonly content?: Readonly<Record<string, { readonly schema?: unknown }>> }>>;
export type Operation = {
  readonly parameters: readonly Parameter[];
  readonly responses: Responses;
  readonly 'x-role'?: string;
  readonly 'x-owner'?: string;
  readonly 'x-fleet'?: true;
  readonly 'x-no-dry-run'?: string;
};
export type Document = { readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>> };
export type Answer = {
  readonly service: string;
  /** `GET /v1/vms/{}` */
  readonly key: string;
  readonly status: number;
  readonly type: string;
  readonly text: string;
};

const escaped = (part: string): string => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'));

/** What the services say that they answer, and whether they do. */
export class Documents {
  readonly #ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
  readonly #of = new Map<string, Map<string, { path: string; method: string; responses: Responses }>>();

  add(service: string, document: Document): void {
    this.#ajv.addSchema({ ...document, $id: service });
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(
        ([method, { responses }]) => [`${method.toUpperCase()} ${path.replaceAll(/\{\w+\}/g, '{}')}`, { path, method, responses }] as const,
      ),
    );
    this.#of.set(service, new Map(operations));
  }

  faultsOf({ service, key, status, type, text }: Answer): string[] {
    const at = `${service} ${key} ${status}`;
    const { path, method, responses } = this.#of.get(service)!.get(key)!;
    const name = String(status) in responses ? String(status) : 'default';
    if (status < 300 && name === 'default') return [`${at}: no such answer is described`];
    const content = responses[name]?.content;
    if (!content) return [];
    if (!content[type]?.schema) return [`${at}: ${type}, and not ${Object.keys(content).join()}`];
    if (!/[/+]json$/.test(type)) return []; // streams and texts
    const pointer = ['paths', path, method, 'responses', name, 'content', type, 'schema'].map(escaped).join('/');
    const fits = this.#ajv.getSchema(`${service}#/${pointer}`)!;
    return fits(JSON.parse(text)) ? [] : [`${at}: ${this.#ajv.errorsText(fits.errors)} in ${text.slice(0, 300)}`];
  }
}
