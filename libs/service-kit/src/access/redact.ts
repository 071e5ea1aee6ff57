const secret = new Set(['jws', 'grant', 'peerToken', 'password', 'secret']);

/**
 * What must not be shown to every viewer: a grant is a bearer document, a peer token opens an agent's port. They stay in the owner's
 * log, and never reach a read model, the feed or a browser.
 */
export const redact = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(redact);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).map(([k, v]) => [k, secret.has(k) && typeof v === 'string' && !v.startsWith('${') ? '(withheld)' : redact(v)]),
  );
};
