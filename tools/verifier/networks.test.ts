import { expect, test } from '@jest/globals';
import { temporaryDatabase } from '@chrysalis/testing';
import pg from 'pg';
import { addressesHaveOneVm } from './networks.ts';

const network = 'network-0199c0de-0000-7000-8000-0000000000e1';

test('an address that is two VMs’, that a VM has and should not, and a network that went too early are named, and no other', async () => {
  const temporary = await temporaryDatabase();
  const db = new pg.Client({ connectionString: temporary.connectionString });
  await db.connect();
  let version = 0;
  const say = (stream: string, type: string, data: object): Promise<unknown> =>
    db.query(`insert into provisioning.events values ($1, $2, $3, $4)`, [stream, ++version, `chrysalis.provisioning.${type}.v1`, data]);
  const give = (vmId: string, address: string) => say(network, 'network.address-given', { vmId, address });
  const hardware = (vm: string, address: string) => say(vm, 'vm.booted', { topology: { nics: [{ network: 'front' }, { network, segment: { address } }] } }); // prettier-ignore
  try {
    await db.query('create schema provisioning; create table provisioning.events (stream_id text, version int, type text, data jsonb)');
    await give('vm-a', '10.7.0.2');
    await hardware('vm-a', '10.7.0.2');
    await say('vm-a', 'vm.deleted', {});
    await say(network, 'network.address-returned', { vmId: 'vm-a', address: '10.7.0.2' });
    await give('vm-b', '10.7.0.2');
    await hardware('vm-b', '10.7.0.2');
    expect(await addressesHaveOneVm(db)).toEqual([]);
    await give('vm-c', '10.7.0.2');
    await hardware('vm-d', '10.7.0.4');
    await say(network, 'network.deleted', {});
    expect(await addressesHaveOneVm(db)).toEqual([
      `I6: 10.7.0.2 of ${network} was given to vm-c while vm-b had it`,
      `I6: ${network} was deleted while addresses of it were had`,
      `I6: vm-b has 10.7.0.2 of ${network} in its hardware, which is vm-c’s`,
      `I6: vm-d has 10.7.0.4 of ${network} in its hardware, which is nobody’s`,
    ]);
  } finally {
    await db.end();
    await temporary.drop();
  }
});

test('a reserved address that is two VMs’, given to one as its own, released too early, in hardware that should not have it, or not in one that should', async () => {
  const temporary = await temporaryDatabase();
  const db = new pg.Client({ connectionString: temporary.connectionString });
  await db.connect();
  let version = 0;
  const say = (stream: string, type: string, data: object): Promise<unknown> =>
    db.query(`insert into provisioning.events values ($1, $2, $3, $4)`, [stream, ++version, `chrysalis.provisioning.${type}.v1`, data]);
  const [x, y] = ['address-x', 'address-y'];
  const vip = (id: string, type: string, data: object = {}) => say(id, `address.${type}`, data);
  const hardware = (vm: string, address: string, further: string[]) =>
    say(vm, 'vm.booted', { topology: { nics: [{ network, segment: { address, ...(further.length > 0 ? { further } : {}) } }] } });
  try {
    await db.query('create schema provisioning; create table provisioning.events (stream_id text, version int, type text, data jsonb)');
    for (const [vm, address] of [['vm-a', '10.7.0.2'], ['vm-b', '10.7.0.3'], ['vm-c', '10.7.0.4']] as const) await say(network, 'network.address-given', { vmId: vm, address }); // prettier-ignore
    for (const [id, address] of [[x, '10.7.0.50'], [y, '10.7.0.51']] as const) {
      await say(network, 'network.address-reserved', { addressId: id, address });
      await vip(id, 'reserved', { networkId: network, address });
    } // prettier-ignore
    await vip(x, 'bind-requested', { vmId: 'vm-a' });
    await vip(x, 'bound', { vmId: 'vm-a' });
    await vip(x, 'bind-requested', { vmId: 'vm-b', from: 'vm-a' });
    await vip(x, 'bound', { vmId: 'vm-b', from: 'vm-a' });
    await hardware('vm-a', '10.7.0.2', []);
    await hardware('vm-b', '10.7.0.3', ['10.7.0.50']);
    await hardware('vm-c', '10.7.0.4', []);
    await vip(y, 'bind-requested', { vmId: 'vm-c' });
    expect(await addressesHaveOneVm(db)).toEqual([]);
    await vip(y, 'bound', { vmId: 'vm-c' }); // and not in its hardware
    await vip(x, 'bound', { vmId: 'vm-a' }); // which vm-b has
    await say(network, 'network.address-given', { vmId: 'vm-d', address: '10.7.0.51' });
    await vip(y, 'released');
    expect(await addressesHaveOneVm(db)).toEqual([
      `I6: 10.7.0.51 of ${network} was given to vm-d while ${y} had it`,
      `I6: ${x} was bound to vm-a while vm-b had it`,
      `I6: ${y} was released while vm-c had it`,
      `I6: vm-b has ${network} 10.7.0.50 in its hardware, which is vm-a’s`,
      `I6: vm-a has ${x} and not in its hardware`,
      `I6: vm-c has ${y} and not in its hardware`,
    ]);
  } finally {
    await db.end();
    await temporary.drop();
  }
});
