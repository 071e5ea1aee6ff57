import type { MigrationInterface, QueryRunner } from 'typeorm';

export class VmObservations1795872000000 implements MigrationInterface {
  readonly name = 'VmObservations1795872000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table vm_observations (
        id text not null, version integer not null, tenant text not null,
        created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
        constraint vm_observations_pk primary key (id)
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table vm_observations');
  }
}
