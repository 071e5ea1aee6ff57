import { entities, FeedEntry, type ReadModel, type ReadTable } from '@chrysalis/service-kit/read-models';
import { DataSource, type SelectQueryBuilder } from 'typeorm';

/**
 * TypeORM's query builder over the read models. It writes SQL and has no connection: the service's pool runs it, under a time limit after
 * which a connection is thrown away; TypeORM's own would hand one that went dead to the next request.
 */
class Writer extends DataSource {
  static async make(): Promise<Writer> {
    const writer = new Writer({ type: 'postgres', entities: [...Object.values(entities), FeedEntry] });
    await writer.buildMetadatas();
    return writer;
  }
}
const writer = await Writer.make();

/** The rows of a read model, as `row`. */
export const selectFrom = (table: ReadTable): SelectQueryBuilder<ReadModel> => writer.createQueryBuilder(entities[table], 'row');
export const selectFeed = (): SelectQueryBuilder<FeedEntry> => writer.createQueryBuilder(FeedEntry, 'row');
