//! Our own types as PostgreSQL values: timestamps in binary, positions and money as text.

use std::error::Error;
use std::fmt::Write;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

use super::super::money::Money;
use super::super::time::{Hour, Timestamp};
use crate::event::Position;

/// PostgreSQL counts from 2000-01-01.
const EPOCH_US: i64 = 946_684_800_000_000;

type Fault = Box<dyn Error + Sync + Send>;

impl ToSql for Timestamp {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Fault> {
        let micros = self
            .micros()
            .checked_sub(EPOCH_US)
            .ok_or("timestamp out of range")?;
        out.put_i64(micros);
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Timestamp {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Fault> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Timestamp::from_micros(
            micros
                .checked_add(EPOCH_US)
                .ok_or("timestamp out of range")?,
        ))
    }

    accepts!(TIMESTAMPTZ);
}

impl ToSql for Hour {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Fault> {
        self.start().to_sql(kind, out)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl ToSql for Position {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Fault> {
        write!(out, "{self}")?;
        Ok(IsNull::No)
    }

    accepts!(TEXT);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Position {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Fault> {
        Ok(std::str::from_utf8(raw)?.parse()?)
    }

    accepts!(TEXT);
}

impl ToSql for Money {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Fault> {
        write!(out, "{self}")?;
        Ok(IsNull::No)
    }

    accepts!(TEXT);
    to_sql_checked!();
}
