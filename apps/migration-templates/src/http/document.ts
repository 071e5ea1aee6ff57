import { NO_SUCH_MEMBER, faultsIn, TemplateDocument, type DocumentFormat } from '@chrysalis/contracts';
import { droppedMembers } from '@chrysalis/kernel';
import { ProblemError } from '@chrysalis/service-kit';
import { isAlias, isCollection, isMap, isPair, isScalar, LineCounter, parseAllDocuments, Parser, stringify, type Document } from 'yaml';

/** Characters of a document: a spec with four of the longest scripts. */
export const MOST_CHARACTERS = 262_144;
const DEEPEST = 32;

export const writeDocument = (document: TemplateDocument, format: DocumentFormat): string =>
  format === 'json' ? `${JSON.stringify(document, null, 2)}\n` : stringify(document, { aliasDuplicateObjects: false, lineWidth: 0 });

/**
 * The spec in a document of a stranger's, YAML or JSON, which is YAML. Its text is read once: no aliases (of which a few bytes may stand for
 * gigabytes), no tags, no member twice, no depth that a stack does not have. Refused with `template.document_invalid`, by line and column,
 * or with `template.invalid` and every member that the schema does not know.
 */
export const readDocument = (text: string): TemplateDocument => {
  const value = readYaml(text);
  const parsed = TemplateDocument.safeParse(value);
  const faults = parsed.success
    ? droppedMembers(value, parsed.data).map((path) => ({
        path,
        code: 'template.member_unknown',
        message: NO_SUCH_MEMBER,
      }))
    : faultsIn(parsed.error, '(document)').map((f) => ({ ...f, code: 'template.member_invalid' }));
  if (parsed.success && faults.length === 0) return parsed.data;
  throw ProblemError.of({
    code: 'template.invalid',
    faults,
    message: faults
      .map((f) => `${f.path}: ${f.message}`)
      .join('; ')
      .slice(0, 2000),
  });
};

export const readYaml = (text: string): unknown => {
  assertOutline(text);
  const lines = new LineCounter();
  const at = placeIn(lines);
  const read = documentsOf(text, lines);
  const [document] = read;
  if (read.length !== 1 || !document) throw invalid(`there ${read.length === 0 ? 'is no document' : 'are several documents'} in it`);
  const [error] = document.errors;
  if (error) throw invalid(`${at(error.pos[0])}: ${error.code}`);
  assertPlain(document.contents, at);
  return document.toJS({ maxAliasCount: 0 });
};

const documentsOf = (text: string, lineCounter: LineCounter): Document.Parsed[] => {
  try {
    // Members twice are looked for below: here each would be compared with each other.
    const read = parseAllDocuments(text, {
      lineCounter,
      logLevel: 'silent',
      prettyErrors: false,
      uniqueKeys: false,
      schema: 'core',
      merge: false,
    });
    return [...read] as Document.Parsed[];
  } catch {
    throw invalid('it is nested too deeply');
  }
};

/** The first fault of the outline, before it is read as a whole: of a document that is nothing but faults each would be told, for seconds. */
const assertOutline = (text: string): void => {
  const lines = new LineCounter();
  for (const token of new Parser(lines.addNewLine).parse(text))
    if (token.type === 'error') throw invalid(`${placeIn(lines)(token.offset)}: ${token.message.slice(0, 200)}`);
};

type At = (offset: number) => string;
const placeIn =
  (lines: LineCounter): At =>
  (offset) => {
    const { line, col } = lines.linePos(offset);
    return `line ${line}, column ${col}`;
  };
type Ranged = { readonly range?: readonly [number, number, number] | null };
const placeOf = (node: unknown, at: At): string => at((node as Ranged | null)?.range?.[0] ?? 0);

/** Node by node with no recursion: a document may be as deep as it likes, until this has looked at it. */
const assertPlain = (contents: unknown, at: At): void => {
  const waiting: { node: unknown; depth: number }[] = [{ node: contents, depth: 1 }];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const { node, depth } = next;
    if (isAlias(node)) throw invalid(`${placeOf(node, at)}: aliases are not taken`);
    if (depth > DEEPEST) throw invalid(`${placeOf(node, at)}: it is nested deeper than ${DEEPEST} levels`);
    if (isMap(node)) assertOnce(node.items, at);
    if (isPair(node)) waiting.push({ node: node.key, depth }, { node: node.value, depth });
    else if (isCollection(node)) for (const item of node.items) waiting.push({ node: item, depth: depth + 1 });
  }
};

const assertOnce = (items: readonly { readonly key: unknown }[], at: At): void => {
  const seen = new Set<string>();
  for (const { key } of items) {
    if (!isScalar(key) || typeof key.value !== 'string') throw invalid(`${placeOf(key, at)}: a member's name is a text`);
    if (seen.has(key.value)) throw invalid(`${placeOf(key, at)}: the member ${key.value.slice(0, 64)} is there twice`);
    seen.add(key.value);
  }
};

const invalid = (message: string): ProblemError => ProblemError.of({ code: 'template.document_invalid', message });
