/** Asked for when it is needed: Node does not vouch for this module in the snapshot that the agent starts from. */
export const childProcess = (): typeof import('node:child_process') => process.getBuiltinModule('node:child_process');
