// The process that lints for the tests: ESLint and its rules are loaded once, each message is a text as if it stood in that file.
import { ESLint } from 'eslint';

const eslint = new ESLint();
process.on('message', async ({ file, text }) => {
  const [{ messages }] = await eslint.lintText(text, { filePath: file });
  process.send({ broken: messages.filter((m) => m.severity === 2).map((m) => m.ruleId) });
});
