/** What some codes were called before. They are in stored events, and agents of older versions still say them. */
export const formerNames = {
  'type.unknown': 'vm-type.unknown',
  'template.type_unknown': 'vm-type.unknown',
  'vm-type.replacement_unknown': 'vm-type.unknown',
  'options_query.unknown': 'options-query.unknown',
  'options_query.failed': 'options-query.failed',
  'options_query.unanswered': 'options-query.unanswered',
  'workflow.version_moved': 'stream.version_mismatch',
  'workflow.kind_unknown': 'executor.kind_unknown',
  'stream.contended': 'service.contended',
  'grant.invalid': 'grant.signature_invalid',
  'grant.unknown_key': 'grant.key_unknown',
  'grant.foreign_vm': 'grant.vm_not_named',
  'grant.action_not_allowed': 'grant.action_not_named',
  'grant.package_not_allowed': 'grant.package_not_named',
} as const;
