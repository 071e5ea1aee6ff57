// npm leaves optional packages of other platforms out of a lockfile when the registry it asked does not hand them out, and `npm ci`
// then refuses that lockfile. Run this after a dependency was added: `node tools/bootstrap/complete-lockfile.mjs`. It names what it added.
import fs from 'node:fs';
const l = JSON.parse(fs.readFileSync('package-lock.json', 'utf8'));
const P = l.packages;
let n = 0;
const os = {
  darwin: 'darwin',
  linux: 'linux',
  win32: 'win32',
  android: 'android',
  freebsd: 'freebsd',
  openharmony: 'openharmony',
  sunos: 'sunos',
  netbsd: 'netbsd',
  openbsd: 'openbsd',
  aix: 'aix',
};
for (const [at, p] of Object.entries(P))
  for (const [name, v] of Object.entries(p.optionalDependencies ?? {})) {
    const nested = `${at ? at + '/' : ''}node_modules/${name}`;
    if (P[nested] || P[`node_modules/${name}`]) continue;
    const base = name.split('/').pop();
    const o = Object.keys(os).find((k) => base.includes(k));
    const cpu = ['arm64', 'x64', 'ia32', 'ppc64', 's390x', 'riscv64', 'loong64', 'arm', 'wasm32'].find((c) => base.includes(c));
    console.error(`${name} ${v}`);
    n++;
    P[`node_modules/${name}`] = {
      version: v.replace(/^[\^~]/, ''),
      ...(cpu ? { cpu: [cpu] } : {}),
      ...(p.dev ? { dev: true } : {}),
      optional: true,
      ...(o ? { os: [o] } : {}),
    };
  }
l.packages = Object.fromEntries(Object.entries(P).sort(([a], [b]) => (a < b ? -1 : 1)));
fs.writeFileSync('package-lock.json', JSON.stringify(l, null, 2) + '\n');
console.error(`${n} added`);
