//! Which type of PostgreSQL a column gets, and which changes of it lose nothing.

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use throughline_core::{Error, Result};

/// A type of a column, in the words of `format_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PgType {
    Boolean,
    SmallInt,
    Integer,
    BigInt,
    /// Precision and scale.
    Numeric(u16, u16),
    Real,
    Double,
    Text,
    Bytea,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Jsonb,
}

impl PgType {
    /// # Errors
    /// PostgreSQL has nothing for such a column.
    pub(super) fn of(field: &Field) -> Result<Self> {
        Ok(match field.data_type() {
            DataType::Boolean => Self::Boolean,
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => Self::SmallInt,
            DataType::Int32 | DataType::UInt16 => Self::Integer,
            DataType::Int64 | DataType::UInt32 => Self::BigInt,
            DataType::UInt64 => Self::Numeric(20, 0),
            DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s)
                if *s >= 0 && *s <= p.cast_signed() =>
            {
                Self::Numeric((*p).into(), s.unsigned_abs().into())
            }
            DataType::Float16 | DataType::Float32 => Self::Real,
            DataType::Float64 => Self::Double,
            DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            DataType::Dictionary(_, value) => {
                return Self::of(&field.clone().with_data_type(value.as_ref().clone()));
            }
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Self::Bytea,
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Time32(_) | DataType::Time64(_) => Self::Time,
            DataType::Timestamp(_, None) => Self::Timestamp,
            DataType::Timestamp(_, Some(_)) => Self::TimestampTz,
            kind if kind.is_nested() => Self::Jsonb,
            other => {
                return Err(Error::unsupported(format!(
                    "column {:?} is a {other}, for which PostgreSQL has no column type",
                    field.name()
                ))
                .hint("cast it in the pipeline, for example to text"));
            }
        })
    }

    /// The arrow type that is written; views and dictionaries become what they stand for.
    pub(super) fn written_as(kind: &DataType) -> DataType {
        match kind {
            DataType::Utf8View | DataType::Null => DataType::Utf8,
            DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
            DataType::Dictionary(_, value) => Self::written_as(value),
            DataType::Int8 | DataType::UInt8 => DataType::Int16,
            DataType::UInt16 => DataType::Int32,
            DataType::UInt32 => DataType::Int64,
            DataType::UInt64 => DataType::Decimal128(20, 0),
            DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
            DataType::Float16 => DataType::Float32,
            DataType::Date64 => DataType::Date32,
            DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
            DataType::Interval(IntervalUnit::YearMonth) => DataType::Utf8,
            other => other.clone(),
        }
    }

    /// As `format_type` writes it.
    pub(super) fn sql(self) -> String {
        match self {
            Self::Boolean => "boolean".into(),
            Self::SmallInt => "smallint".into(),
            Self::Integer => "integer".into(),
            Self::BigInt => "bigint".into(),
            Self::Numeric(p, s) => format!("numeric({p},{s})"),
            Self::Real => "real".into(),
            Self::Double => "double precision".into(),
            Self::Text => "text".into(),
            Self::Bytea => "bytea".into(),
            Self::Date => "date".into(),
            Self::Time => "time without time zone".into(),
            Self::Timestamp => "timestamp without time zone".into(),
            Self::TimestampTz => "timestamp with time zone".into(),
            Self::Jsonb => "jsonb".into(),
        }
    }

    /// Reads what `format_type` wrote; `None` for types that we never make.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let all = [
            Self::Boolean,
            Self::SmallInt,
            Self::Integer,
            Self::BigInt,
            Self::Real,
            Self::Double,
            Self::Text,
            Self::Bytea,
            Self::Date,
            Self::Time,
            Self::Timestamp,
            Self::TimestampTz,
            Self::Jsonb,
        ];
        if let Some(found) = all.into_iter().find(|t| t.sql() == text) {
            return Some(found);
        }
        let (p, s) = text.strip_prefix("numeric(")?.strip_suffix(')')?.split_once(',')?;
        Some(Self::Numeric(p.parse().ok()?, s.parse().ok()?))
    }

    /// Whether every value of `self` is one of `wider`, exactly.
    pub(super) fn widens_to(self, wider: Self) -> bool {
        let digits = |kind| match kind {
            Self::SmallInt => Some((5, 0)),
            Self::Integer => Some((10, 0)),
            Self::BigInt => Some((19, 0)),
            Self::Numeric(p, s) => Some((p.saturating_sub(s), s)),
            _ => None,
        };
        match (self, wider) {
            (Self::Real, Self::Double)
            | (Self::SmallInt, Self::Integer | Self::BigInt)
            | (Self::Integer, Self::BigInt) => true,
            (_, Self::Numeric(..)) => match (digits(self), digits(wider)) {
                (Some((whole, scale)), Some((wider_whole, wider_scale))) => {
                    self != wider && whole <= wider_whole && scale <= wider_scale
                }
                _ => false,
            },
            _ => false,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_type_widens_only_where_nothing_is_lost() {
        use PgType::{BigInt, Double, Integer, Numeric, Real, SmallInt, Text, Timestamp, TimestampTz};
        for (from, to) in [
            (SmallInt, Integer),
            (Integer, BigInt),
            (BigInt, Numeric(38, 9)),
            (Numeric(18, 2), Numeric(38, 9)),
            (Real, Double),
        ] {
            assert!(from.widens_to(to) && !to.widens_to(from), "{from:?} {to:?}");
        }
        for (from, to) in [
            (BigInt, Double),
            (BigInt, Numeric(18, 0)),
            (Numeric(18, 2), Numeric(18, 4)),
            (Timestamp, TimestampTz),
            (BigInt, Text),
            (Text, Text),
        ] {
            assert!(!from.widens_to(to), "{from:?} {to:?}");
        }
        for kind in [Numeric(38, 9), TimestampTz, PgType::Jsonb, Text] {
            assert_eq!(PgType::parse(&kind.sql()), Some(kind));
        }
        assert_eq!(PgType::parse("character varying(20)"), None);
        assert_eq!(PgType::parse("numeric(x,y)"), None);
    }
}
