//! Times as the database has them.

use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTime;
use serde::{Serialize, Serializer};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgTypeInfo, PgValueRef};
use sqlx::{Decode, Postgres, Type};

use crate::domain::time::iso;

/// A `timestamptz`; in JSON as devices write timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DbTime(pub Timestamp);

impl Type<Postgres> for DbTime {
    fn type_info() -> PgTypeInfo {
        SqlTime::type_info()
    }
}

impl<'row> Decode<'row, Postgres> for DbTime {
    fn decode(value: PgValueRef<'row>) -> Result<Self, BoxDynError> {
        Ok(Self(SqlTime::decode(value)?.to_jiff()))
    }
}

impl Serialize for DbTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&iso(self.0))
    }
}
