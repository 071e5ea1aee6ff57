import type { CodeEntries } from './entry.ts';

/** Options, templates, plans and migrations: refusals, blockers of a plan, faults of a template. */
export const movesCodes = {
  'options-query.unknown': {
    status: 404,
    title: 'There is no such options query',
    next: 'ask for the options of the VMs: chrysalis options query',
  },
  'options-query.failed': { status: 409, title: 'The options query failed', next: 'ask again: chrysalis options query' },
  'options-query.unanswered': { status: 409, title: 'The options query has no answer yet', next: 'wait for its operation' },
  'option.unknown': {
    status: 404,
    title: 'There is no such option in the answer',
    next: ['GET /v1/migration-options-queries/{queryId} lists those there are', 'ask for the options again: chrysalis options query'],
  },
  'option.refused': { status: 409, title: 'The option was refused', next: 'take one without blockers, or remove what `blockers` names' },
  'option.no_change': { title: 'The VM is of this type already', next: 'choose another type, or a move' },
  'option.nothing_to_hide': { title: 'The type has nothing that the VM lacks', next: 'use expose' },
  'template.not_with_method': {
    title: 'The option is one of another method than the template has',
    next: 'leave it out, or use the method that it is of',
  },
  'template.not_with_post_copy': {
    title: 'A post-copy cannot be undone once its guest has gone, and the step would have to be',
    next: 'put the step after the move, or use pre-copy',
  },
  'option.copies_need_pre_copy': {
    title: 'Disks that hosts do not share are copied by pre-copy alone',
    next: 'choose pre-copy, or move the disks to a shared pool',
  },
  'option.no_pool_for_state': {
    title: 'The VM has no disk of its own in a pool that its state could be saved to',
    next: 'choose pre-copy or restart',
  },
  'option.capability_absent': { title: 'The guest cannot do what this takes', next: 'choose another option, or add what the guest lacks' },
  'option.capability_unknown': {
    title: 'It is not known whether the guest can do what this takes',
    next: 'ask for the options with a grant: the agent finds out',
  },
  'option.cpu_headroom': {
    title: 'No room for so many vCPUs was made at boot',
    next: 'restart the VM with more headroom, or choose a smaller type',
  },
  'option.memory_headroom': {
    title: 'No room for so much memory was made at boot',
    next: 'restart the VM with more headroom, or choose a smaller type',
  },
  'option.memory_slots': { title: 'All memory slots are taken', next: 'restart the VM with more headroom, or choose another type' },
  'option.memory_step': { title: 'The memory is not a multiple of a block', next: 'choose a type that differs by whole blocks' },
  'option.cpu_model_fixed': { title: 'A running VM keeps its CPU model', next: 'choose a type with the same CPU model' },
  'option.boot_memory_fixed': {
    title: 'Memory that was there at boot cannot be unplugged',
    next: 'choose a type with at least as much memory',
  },
  'option.memory_shrink_uneven': {
    title: 'Memory goes as it came, and no DIMMs make up the difference',
    next: 'choose a type that they do make up: the message names them',
  },
  'option.disk_addition_unsupported': { title: 'The type has a disk that the VM lacks', next: 'choose a type without it' },
  'option.nic_headroom': {
    title: 'No room for so many NICs was made at boot',
    next: 'unplug something, hide the new NICs, or choose a type without them',
  },
  'option.nic_network_fixed': { title: 'A NIC would change its network', next: 'choose a type with the same network' },
  'option.no_other_host': { title: 'There is no other host', next: 'add a host' },
  'template.unknown': { status: 404, title: 'There is no such migration template', next: 'chrysalis template list' },
  'template.invalid': { status: 422, title: 'The migration template has faults', next: 'mend what `faults` names, and publish it again' },
  'template.retired': { status: 409, title: 'The migration template is retired', next: 'publish one of another name' },
  'template.version_outdated': {
    status: 412,
    title: 'There is a newer version of the migration template',
    next: [
      'see what that one changed, and begin with it: chrysalis template diff {name}@{from} {newest}',
      'see what that one changed, and begin with it: chrysalis template diff',
    ],
  },
  'template.in_use': {
    status: 409,
    title: 'A migration that has not ended goes by the template, or a workflow whose migrations are to',
    next: 'wait for the end of those in `usedBy`, or cancel them; or retire it: it takes no new migrations then, and what runs goes on',
  },
  'template.document_invalid': {
    status: 422,
    title: 'The document is no YAML or JSON that a template can be read from',
    next: 'mend what `message` names: one document, no aliases, no member twice, 32 levels at most',
  },
  'template.member_invalid': { title: 'A member is not what the schema says', next: 'mend it: chrysalis template schema' },
  'template.member_unknown': {
    title: 'The schema knows no such member',
    next: 'take it out, or correct its name: chrysalis template schema',
  },
  'template.name_reserved': { status: 409, title: 'The name is reserved', next: 'take another name' },
  'template.name_taken': { status: 409, title: 'The name is taken', next: 'take another name' },
  'template.mixed_types': { status: 409, title: 'The VMs are not of one type', next: 'make a template for each type' },
  'template.augmentation_unsupported': { title: 'A template deploys no packages yet', next: 'leave `options.augmentation` empty' },
  'template.emulation_unsupported': {
    title: 'Hosts emulate no incompatible resources yet',
    next: 'leave `options.emulateIncompatible` out',
  },
  'template.device_left': { title: 'No step unplugs what the target type lacks', next: 'add the step' },
  'template.device_there': { title: 'A step plugs what the source type has', next: 'take the step out' },
  'template.device_needed': { title: 'A step unplugs what the target type has', next: 'take the step out' },
  'template.disk_unknown': { title: 'The source type has no such disk', next: 'name a disk of the source type' },
  'template.nic_unknown': { title: 'The source type has no such NIC', next: 'name a NIC of the source type' },
  'template.memory_step': { title: 'Memory is plugged in whole blocks', next: 'take a multiple of a block' },
  'template.plugs_while_hidden': { title: 'A step exposes what the options hide', next: 'take the step out, or expose' },
  'template.not_with_restart': {
    title: 'A restart gives the type by itself, and no agent is in the guest after it',
    next: 'take the step out, or choose another method',
  },
  'template.result_differs': { title: 'The steps do not lead to the target type', next: 'add the steps that are missing' },
  'template.step_missing': { title: 'A step lacks the one it builds on', next: 'add the step' },
  'template.wrong_section': { title: 'The step belongs in another section', next: 'move it there' },
  'template.approval_without_move': {
    title: 'Somebody is to approve of the switch-over, and nothing moves',
    next: 'take `options.approval` out, or add a live migration',
  },
  'template.mid_migration_without_move': {
    title: 'Something is to be done in the middle of a move, and nothing moves',
    next: 'take `midMigration` out, or add a live migration',
  },
  'template.mid_migration_late': {
    title: 'The scripts may take longer than the time before the announcement',
    next: 'raise `midMigration.withinMs`, or lower `timeoutMs` of the scripts',
  },
  'template.nic_not_rewired': {
    title: 'A step rewires a NIC that does not change its network',
    next: 'take the step out, or choose a target type that has the NIC on that network',
  },
  'plan.unknown': {
    status: 404,
    title: 'There is no such plan',
    next: 'chrysalis plan create makes one',
  },
  'plan.blocked': {
    status: 409,
    title: 'The plan has blockers',
    next: ['chrysalis plan get {planId} shows every blocker and its remedy', 'chrysalis plan get shows every blocker and its remedy'],
  },
  'plan.outdated': { status: 409, title: 'Something changed since the plan was made', next: 'make a new one with chrysalis plan create' },
  'plan.type_differs': { title: 'The VM is not of the template’s source type', next: 'choose a template of the VM’s type' },
  'migration.unknown': { status: 404, title: 'There is no such migration', next: 'chrysalis migration list' },
  'migration.conflict': { status: 409, title: 'The migration runs another plan', next: 'start another migration for this plan' },
  'migration.ended': { status: 409, title: 'The migration has ended', next: 'nothing is left to do' },
  'migration.cancelled': { title: 'The migration was cancelled', next: 'nothing is left to do' },
  'migration.cancelling': {
    status: 409,
    title: 'The migration is being cancelled',
    next: [
      'wait for its end: chrysalis operation wait {migrationId}; where it is paused: chrysalis migration resume {migrationId}, or cancel it',
      'wait for its end; where it is paused: resume or cancel it',
    ],
  },
  'migration.paused': {
    status: 409,
    title: 'The migration is paused already',
    next: [
      'leave it so; or chrysalis migration resume {migrationId}; or pause it anew, in place of that: chrysalis migration pause {migrationId} --replace',
      'leave it so, resume it, or pause it anew with `replace`',
    ],
  },
  'migration.approval_not_asked': {
    status: 409,
    title: 'No move of the migration waits for an approval',
    next: [
      'chrysalis migration get {migrationId} shows what it waits for',
      'chrysalis migration get shows what it waits for: a move asks when it is ready for its switch-over',
    ],
  },
  'migration.approval_settled': {
    status: 409,
    title: 'It was decided otherwise already',
    next: ['chrysalis migration get {migrationId} shows by whom', 'chrysalis migration get shows by whom'],
  },
  'migration.approval_rejected': {
    title: 'The switch-over was rejected; the VM runs on where it was',
    next: 'see the reason, and begin it again for that VM',
  },
  'migration.approval_timed_out': {
    title: 'Nobody approved of the switch-over in time; the VM runs on where it was',
    next: 'begin it again, and approve it in time: chrysalis migration approve; or raise `options.approval.withinMs` of its template',
  },
  'migration.running': {
    status: 409,
    title: 'The migration has not ended',
    next: ['wait for its end: chrysalis operation wait {migrationId}', 'wait for its end'],
  },
  'migration.nothing_left': {
    status: 409,
    title: 'The migration has no VM that this would be about',
    next: ['chrysalis migration get {migrationId} shows what became of each', 'chrysalis migration get shows what became of each'],
  },
  'migration.canary_failed': {
    title: 'A VM that went first did not move; no other was begun',
    next: 'see why it failed, mend that, and migrate those that are left',
  },
  'migration.pause_expired': {
    title: 'The migration was paused, and nobody resumed it in time',
    next: 'begin it again for those that are left, or pause the next one for longer: chrysalis migration pause --for',
  },
  'migration.order_unknown': {
    status: 422,
    title: 'The order names VMs that are not in the plan',
    next: 'name VMs of the plan alone, or make a plan with all of them',
  },
  'migration.order_cyclic': {
    status: 422,
    title: 'VMs of the order wait for each other',
    next: 'take one of the waits out of `after`: `vmIds` are those that could never begin',
  },
  'plan.filter_invalid': {
    status: 422,
    title: 'The expression that selects VMs is none, or has no answer for one of them',
    next: 'mend it; of a label that not every VM has ask first: "team" in vm.labels && vm.labels.team == "web"',
  },
  'plan.nothing_selected': {
    status: 422,
    title: 'No VM that runs is selected',
    next: 'chrysalis vm list --label shows who has which labels; a VM has been started at least once before it can be planned for',
  },
  'plan.too_many_selected': {
    status: 422,
    title: 'More VMs are selected than one plan, or one look, takes',
    next: 'select fewer, by one more label for each part',
  },
  'migration.windows_past': {
    status: 422,
    title: 'No window of the set is open, and none opens before its deadline',
    next: 'name a window that is to come, and a deadline after its beginning',
  },
  'migration.window_closed': {
    title: 'The last window closed before every VM had gone',
    next: 'begin it again for those that are left, with another window: chrysalis migration retry --window',
  },
  'migration.incomplete': { title: 'Not every VM was moved', next: 'chrysalis migration get shows which, and why' },
  'migration.time_is_up': { title: 'The time for it was over before every VM had gone', next: 'begin it again for those that are left' },
  'migration.too_many_failures': {
    title: 'Too many moves did not succeed; the rest was not begun',
    next: 'see why they failed, and run it again over those that are left',
  },
  'move.unknown': { status: 404, title: 'There is no such move', next: 'chrysalis migration list' },
  'move.blocked': { title: 'The move has blockers', next: 'remove what `detail` names, and make a new plan' },
} as const satisfies CodeEntries;
