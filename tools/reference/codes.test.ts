import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { CODES, formerCodes, GuestError, nextOf } from '@chrysalis/contracts';
import ts from 'typescript';
import { reference, written } from './codes.ts';

const root = path.resolve(import.meta.dirname, '../..');
const CODE = /^[a-z][a-z_-]*\.[a-z][a-z0-9_]*$/;
const nouns = new Set(Object.keys(CODES).map((code) => code.split('.')[0]!));

/** Where a word is only a name, a type or compared with, nothing is raised. */
const isRaise = ({ parent }: ts.Node, node: ts.Node): boolean => {
  if (ts.isLiteralTypeNode(parent) || ts.isCaseClause(parent)) return false;
  if (ts.isPropertyAssignment(parent) && parent.name === node) return false;
  if (ts.isBinaryExpression(parent)) return parent.operatorToken.kind === ts.SyntaxKind.QuestionQuestionToken;
  return !(ts.isCallExpression(parent) && parent.expression.getText() === 'hasCode');
};

const isCode = (text: string, { parent }: ts.Node): boolean => {
  const named = (ts.isPropertyAssignment(parent) || ts.isPropertyDeclaration(parent)) && parent.name.getText() === 'code';
  const [noun = '', reason = ''] = text.split('.');
  return named || (nouns.has(noun) && reason.includes('_'));
};

/** Every literal in the code that is, or looks like, a code. */
const found = (): { raised: Set<string>; looks: Map<string, string> } => {
  const raised = new Set<string>();
  const looks = new Map<string, string>();
  const files = globSync(['apps/*/src/**/*.ts', 'libs/**/src/**/*.ts'], { cwd: root });
  for (const file of files.filter(
    (f) => !/node_modules|\.test\.ts$|\.contract\.ts$|\/test\/|\/test-kit\/|libs\/testing|src\/codes\//.test(f),
  )) {
    const source = ts.createSourceFile(file, readFileSync(path.join(root, file), 'utf8'), ts.ScriptTarget.Latest, true);
    const visit = (node: ts.Node): void => {
      if ((ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) && CODE.test(node.text)) {
        if (isRaise(node, node)) raised.add(node.text);
        if (isCode(node.text, node)) looks.set(node.text, file);
      }
      ts.forEachChild(node, visit);
    };
    visit(source);
  }
  return { raised, looks };
};

describe('the catalogue of codes', () => {
  const { raised, looks } = found();

  test('lists none that is nowhere raised', () => {
    expect(Object.keys(CODES).filter((code) => !raised.has(code))).toEqual([]);
  });

  test('lists every one that is raised', () => {
    expect([...looks].filter(([code]) => !Object.hasOwn(CODES, code))).toEqual([]);
  });

  test('has no two entries that say the same: one meaning, one code', () => {
    const titles = Object.values(CODES).map(({ title }) => title);
    expect(titles.filter((title, i) => titles.indexOf(title) !== i)).toEqual([]);
  });

  test('knows what some were called before, and gives none of these names anew', () => {
    expect(Object.keys(formerCodes).filter((code) => Object.hasOwn(CODES, code) || raised.has(code))).toEqual([]);
    expect(nextOf('type.unknown')).toBe(nextOf('vm-type.unknown'));
    expect(GuestError.from({ code: 'grant.foreign_vm', message: 'of an older agent' }).code).toBe('grant.vm_not_named');
    expect(GuestError.from({ code: 'made.up', message: 'by nobody of ours' }).code).toBe('guest.failed');
  });

  test('is what the reference says: `node tools/reference/codes.ts` writes it anew', async () => {
    expect(await written()).toBe(await reference());
  });
});
