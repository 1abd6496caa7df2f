//! Reading columns into what cannot be wrong.

use std::error::Error;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use sqlx::Row as _;

use crate::StoreError;
use crate::db::{Connection, Row};

/// Typed access to the columns of one row.
pub(crate) trait Columns {
    /// A text as what it stands for.
    fn parsed<T: FromStr<Err: Into<BoxError>>>(&self, column: &str) -> Result<T, sqlx::Error>;

    /// As [`parsed`](Self::parsed), where there may be none.
    fn perhaps<T: FromStr<Err: Into<BoxError>>>(
        &self,
        column: &str,
    ) -> Result<Option<T>, sqlx::Error>;

    /// A number that is never negative.
    fn number<T: TryFrom<i64, Error: Into<BoxError>>>(
        &self,
        column: &str,
    ) -> Result<T, sqlx::Error>;

    /// As [`number`](Self::number), where there may be none.
    fn perhaps_number<T: TryFrom<i64, Error: Into<BoxError>>>(
        &self,
        column: &str,
    ) -> Result<Option<T>, sqlx::Error>;

    /// 0 or 1.
    fn flag(&self, column: &str) -> Result<bool, sqlx::Error>;

    fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, sqlx::Error>;
}

type BoxError = Box<dyn Error + Send + Sync>;

impl Columns for Row {
    fn parsed<T: FromStr<Err: Into<BoxError>>>(&self, column: &str) -> Result<T, sqlx::Error> {
        let text: String = self.try_get(column)?;
        text.parse().map_err(|error: T::Err| unreadable(column, error))
    }

    fn perhaps<T: FromStr<Err: Into<BoxError>>>(
        &self,
        column: &str,
    ) -> Result<Option<T>, sqlx::Error> {
        let text: Option<String> = self.try_get(column)?;
        let value = text.map(|text| text.parse()).transpose();
        value.map_err(|error: T::Err| unreadable(column, error))
    }

    fn number<T: TryFrom<i64, Error: Into<BoxError>>>(
        &self,
        column: &str,
    ) -> Result<T, sqlx::Error> {
        let number: i64 = self.try_get(column)?;
        number.try_into().map_err(|error| unreadable(column, error))
    }

    fn perhaps_number<T: TryFrom<i64, Error: Into<BoxError>>>(
        &self,
        column: &str,
    ) -> Result<Option<T>, sqlx::Error> {
        let number: Option<i64> = self.try_get(column)?;
        let value = number.map(T::try_from).transpose();
        value.map_err(|error| unreadable(column, error))
    }

    fn flag(&self, column: &str) -> Result<bool, sqlx::Error> {
        Ok(self.try_get::<i64, _>(column)? != 0)
    }

    fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, sqlx::Error> {
        let text: String = self.try_get(column)?;
        serde_json::from_str(&text).map_err(|error| unreadable(column, error))
    }
}

/// The number in the only column of the only row, if there is one.
pub(crate) async fn scalar(
    db: &mut Connection,
    statement: &'static str,
    id: String,
) -> Result<Option<i64>, StoreError> {
    Ok(sqlx::query_scalar(statement).bind(id).fetch_optional(db).await?)
}

fn unreadable(column: &str, error: impl Into<BoxError>) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: error.into() }
}
