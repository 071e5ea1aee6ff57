// Writes libs/api-client/src/generated from what the services say of their routes: node --import ./tools/node/register.mjs tools/api-client/main.ts
import path from 'node:path';
import { root } from '../run/platform.ts';
import { generate } from './generated.ts';

await generate(path.join(root, 'libs/api-client/src/generated'));
