import { agentGatewayEvents as g, migrationTemplatesEvents as m, provisioningEvents as p } from '@chrysalis/contracts';
import { merge, on, type Change, type Document, type Handler, type Table } from '../projection.ts';

/** Named things with versions are one row a name, with all versions in it: a stream is a name. */
const versioned = (table: Table, name: string, version: { version: number } & Document): Change =>
  merge(table, name, (before) => ({
    name,
    latest: Math.max(version.version, Number(before['latest'] ?? 0)),
    versions: [...((before['versions'] as { version: number }[] | undefined) ?? []).filter((v) => v.version !== version.version), version],
  }));

export const catalogue: readonly Handler[] = [
  on(p.vmTypePublished, ({ name, version, spec }, { at }) => [versioned('vm_types', name, { version, spec, publishedAt: at })]),
  on(p.vmTypeDeprecated, ({ name, version, ...why }) => [
    merge('vm_types', name, (before) => ({
      versions: ((before['versions'] as { version: number }[] | undefined) ?? []).map((v) =>
        v.version === version ? { ...v, deprecated: why } : v,
      ),
    })),
  ]),
  on(p.imageRegistered, ({ image }, { at }) => [versioned('images', image.name, { ...image, registeredAt: at })]),
  on(p.imageDeleted, ({ name, version }) => [
    merge('images', name, (before) => {
      const versions = ((before['versions'] as { version: number }[] | undefined) ?? []).filter((v) => v.version !== version);
      return { versions, latest: Math.max(0, ...versions.map((v) => v.version)) };
    }),
  ]),
  on(m.templatePublished, ({ name, version, spec }, { at }) => [versioned('templates', name, { version, spec, publishedAt: at })]),
  on(m.templateRetired, ({ name }) => [merge('templates', name, { retired: true })]),
  on(m.templateDeleted, ({ name }) => [merge('templates', name, { versions: [], latest: 0, retired: undefined })]),
];

/** Never with the grant itself: see redact.ts. `state`: active or revoked; whether it has expired is for the reader's clock. */
export const grants: readonly Handler[] = [
  on(g.grantRegistered, (d) => [
    merge('grants', d.grantId, { grantId: d.grantId, tenant: d.tenant, state: 'active', claims: d.claims, used: 0, uses: d.claims.uses }),
  ]),
  on(g.grantUsed, (d) => [merge('grants', d.grantId, { used: d.use, lastUse: { vmId: d.vmId, at: d.at } })]),
  on(g.grantRevoked, (d) => [merge('grants', d.grantId, { state: 'revoked', reason: d.reason })]),
];
