//! Where reading queries run: the database, or the reason why there is none.

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::BoxStream};
use sqlx::{Either, Execute, Executor, SqlStr};

use super::{
    StoreError,
    engine::{Db, Pool},
};

type Row = <Db as sqlx::Database>::Row;
type QueryResult = <Db as sqlx::Database>::QueryResult;
type Statement = <Db as sqlx::Database>::Statement;
type TypeInfo = <Db as sqlx::Database>::TypeInfo;

/// The reading connections; of a store that cannot be used, the error that the query answers.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a>(pub(super) Result<&'a Pool, StoreError>);

/// The reason on its way through the database library; [`StoreError`] takes it out again.
fn carried(reason: StoreError) -> sqlx::Error {
    sqlx::Error::Configuration(Box::new(reason))
}

impl<'a> Executor<'a> for Reader<'a> {
    type Database = Db;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<QueryResult, Row>, sqlx::Error>>
    where
        'a: 'e,
        E: 'q + Execute<'q, Db>,
    {
        match self.0 {
            Ok(pool) => pool.fetch_many(query),
            Err(reason) => futures::stream::iter([Err(carried(reason))]).boxed(),
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<Row>, sqlx::Error>>
    where
        'a: 'e,
        E: 'q + Execute<'q, Db>,
    {
        match self.0 {
            Ok(pool) => pool.fetch_optional(query),
            Err(reason) => futures::future::ready(Err(carried(reason))).boxed(),
        }
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [TypeInfo],
    ) -> BoxFuture<'e, Result<Statement, sqlx::Error>>
    where
        'a: 'e,
    {
        match self.0 {
            Ok(pool) => pool.prepare_with(sql, parameters),
            Err(reason) => futures::future::ready(Err(carried(reason))).boxed(),
        }
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<sqlx::Describe<Db>, sqlx::Error>>
    where
        'a: 'e,
    {
        match self.0 {
            Ok(pool) => pool.describe(sql),
            Err(reason) => futures::future::ready(Err(carried(reason))).boxed(),
        }
    }
}
