import type { CodeEntries } from './entry.ts';

/** Why a grant does not cover what was to be done in a guest, at the API, the gateway or in the guest itself. */
export const grantsCodes = {
  'grant.unknown': { status: 404, title: 'There is no such grant', next: 'register one over the VM: chrysalis grant register --file FILE' },
  'grant.conflict': { status: 409, title: 'The id belongs to another grant', next: 'give the new grant an id of its own' },
  'grant.malformed': { status: 400, title: 'Not a grant', next: 'send a compact JWS, signed with EdDSA, with the claims of a grant' },
  'grant.signature_invalid': {
    status: 422,
    title: 'The signature is not by the key that it names',
    next: 'sign the grant with the key of its kid',
  },
  'grant.key_unknown': {
    status: 422,
    title: 'No trusted key has this id',
    next: 'register the tenant’s key first, or sign with one that is',
  },
  'grant.foreign_tenant': { status: 403, title: 'The grant is of another tenant', next: 'ask with a grant of the VM’s own tenant' },
  'grant.revoked': { status: 403, title: 'The grant was taken back', next: 'register a new one' },
  'grant.expired': { status: 403, title: 'The time of the grant is over', next: 'register a new one' },
  'grant.expires_too_soon': { title: 'The grant would end in the middle of the move', next: 'register one that lasts longer' },
  'grant.exhausted': { status: 403, title: 'All uses of the grant are used', next: 'register a new one, with more uses' },
  'grant.vm_not_named': { status: 403, title: 'The grant does not name this VM', next: 'register one that names it' },
  'grant.action_not_named': { status: 403, title: 'The grant does not allow this action', next: 'register one that allows it' },
  'grant.package_not_named': { status: 403, title: 'The grant does not name this package', next: 'register one that names it' },
  'grant.no_package': { status: 403, title: 'The grant names no package', next: 'register one that names the agent’s package' },
  'tenant-key.conflict': { status: 409, title: 'The key id belongs to another key', next: 'register the key under another id' },
  'tenant-key.foreign_tenant': { status: 403, title: 'The key is of another tenant', next: 'ask with a token of that tenant' },
} as const satisfies CodeEntries;
