//! Statements made of only the conditions that were asked for, so that their indexes are used.

use std::fmt::Write;

use sqlx::{Any, AssertSqlSafe, Executor, FromRow};

use crate::db::Row;
use crate::{StoreError, clock};

/// A statement under construction. It is made of fixed words and numbers of parameters; what comes
/// from outside is bound.
pub(crate) struct Search {
    sql: String,
    values: Vec<Bound>,
}

enum Bound {
    Number(i64),
    Text(String),
}

impl Search {
    /// Begins with a statement that ends in a `WHERE` and its first condition.
    pub(crate) fn new(sql: &str) -> Self {
        Self { sql: sql.to_owned(), values: Vec::new() }
    }

    /// A condition that ends before its value: `users.name =`.
    pub(crate) fn text(&mut self, condition: &str, value: Option<impl Into<String>>) {
        self.add(condition, value.map(|value| Bound::Text(value.into())));
    }

    /// As [`text`](Self::text), with a number.
    pub(crate) fn number(&mut self, condition: &str, value: Option<u64>) {
        self.add(condition, value.map(|value| Bound::Number(clock::column(value))));
    }

    /// As [`text`](Self::text), with a number that may be negative.
    pub(crate) fn signed(&mut self, condition: &str, value: Option<i64>) {
        self.add(condition, value.map(Bound::Number));
    }

    /// A condition that ends before two values: `(last, id) <`.
    pub(crate) fn pair(&mut self, condition: &str, values: Option<(i64, i64)>) {
        let Some((one, other)) = values else { return };
        let first = self.values.len() + 1;
        self.values.extend([Bound::Number(one), Bound::Number(other)]);
        let second = first + 1;
        self.push(format_args!(" AND {condition} (${first}, ${second})"));
    }

    /// A column that holds one of these texts. Of none there is no row.
    pub(crate) fn one_of(&mut self, column: &str, texts: Vec<String>) {
        if texts.is_empty() {
            return self.that("1 = 0");
        }
        let first = self.values.len() + 1;
        self.values.extend(texts.into_iter().map(Bound::Text));
        let numbers: Vec<_> =
            (first..=self.values.len()).map(|number| format!("${number}")).collect();
        self.push(format_args!(" AND {column} IN ({})", numbers.join(", ")));
    }

    /// A condition without a value.
    pub(crate) fn that(&mut self, condition: &str) {
        self.push(format_args!(" AND {condition}"));
    }

    /// Only rows after one in an order of `newest` falling and `id` rising.
    pub(crate) fn older(&mut self, newest: &str, id: &str, after: Option<(u64, String)>) {
        let Some((at, last)) = after else { return };
        let first = self.values.len() + 1;
        self.values.extend([Bound::Number(clock::column(at)), Bound::Text(last)]);
        let second = first + 1;
        self.push(format_args!(
            " AND ({newest} < ${first} OR ({newest} = ${first} AND {id} > ${second}))"
        ));
    }

    /// Only rows after one in an order of these columns rising.
    pub(crate) fn after(
        &mut self,
        text: &str,
        number: &str,
        id: &str,
        last: (String, u64, String),
    ) {
        let first = self.values.len() + 1;
        let last = (last.0, Bound::Number(clock::column(last.1)), last.2);
        self.values.extend([Bound::Text(last.0), last.1, Bound::Text(last.2)]);
        let (second, third) = (first + 1, first + 2);
        self.push(format_args!(" AND ({text}, {number}, {id}) > (${first}, ${second}, ${third})"));
    }

    /// The rows that fit, in this order; with a limit, the first of them.
    pub(crate) async fn rows<T>(
        mut self,
        order: &str,
        limit: Option<u32>,
        db: impl Executor<'_, Database = Any>,
    ) -> Result<Vec<T>, StoreError>
    where
        T: for<'r> FromRow<'r, Row> + Send + Unpin,
    {
        self.end(order, limit);
        let mut statement = sqlx::query_as(AssertSqlSafe(self.sql));
        for value in self.values {
            statement = match value {
                Bound::Number(number) => statement.bind(number),
                Bound::Text(text) => statement.bind(text),
            };
        }
        Ok(statement.fetch_all(db).await?)
    }

    /// The steps by which the database would find [`rows`](Self::rows), each with the number of the step
    /// that it belongs to, where there are numbers.
    #[cfg(test)]
    pub(crate) async fn plan(
        mut self,
        engine: crate::db::Engine,
        (order, limit): (&str, u32),
        pool: &crate::db::Pool,
    ) -> Result<Vec<(i64, String)>, StoreError> {
        use sqlx::Row as _;

        self.end(order, Some(limit));
        let explain = match engine {
            crate::db::Engine::Sqlite => "EXPLAIN QUERY PLAN",
            crate::db::Engine::Postgres => "EXPLAIN",
        };
        let mut statement = sqlx::query(AssertSqlSafe(format!("{explain} {}", self.sql)));
        for value in self.values {
            statement = match value {
                Bound::Number(number) => statement.bind(number),
                Bound::Text(text) => statement.bind(text),
            };
        }
        let steps = statement.fetch_all(pool).await?.into_iter().map(|row| match engine {
            crate::db::Engine::Sqlite => Ok((row.try_get("parent")?, row.try_get("detail")?)),
            crate::db::Engine::Postgres => Ok((0, row.try_get(0)?)),
        });
        Ok(steps.collect::<Result<_, sqlx::Error>>()?)
    }

    fn end(&mut self, order: &str, limit: Option<u32>) {
        self.push(format_args!(" ORDER BY {order}"));
        if let Some(limit) = limit {
            self.push(format_args!(" LIMIT {limit}"));
        }
    }

    fn add(&mut self, condition: &str, value: Option<Bound>) {
        let Some(value) = value else { return };
        self.values.push(value);
        let number = self.values.len();
        self.push(format_args!(" AND {condition} ${number}"));
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = self.sql.write_fmt(text);
    }
}
