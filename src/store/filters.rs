//! Filters, written so that PostgreSQL finds the matching rows by an index, in tables of any size.
//!
//! PostgreSQL plans a prepared statement for its parameters the first few times. Then it uses one generic plan if that
//! does not look more expensive. Here the generic plan would be slow: it assumes that a rare value is as frequent as
//! any other, and reads the whole table in the order of the list.

use chrono::{DateTime, NaiveDate, TimeDelta, TimeZone, Utc};
use diesel::expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::Bool;
use uuid::Uuid;

use crate::domain::id::first_at;

/// A filter for one of the few values of a column. The value is part of the statement, so that the planner knows how
/// many rows have it, and can use a partial index over the rows with a rare value.
#[derive(Debug, Clone, Copy, ValidGrouping)]
pub(super) struct Is<Column> {
    pub(super) column: Column,
    /// One of the labels of the program, which consist of letters, underscores and full stops.
    pub(super) label: &'static str,
}

impl<Column> QueryId for Is<Column> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Column: Expression> Expression for Is<Column> {
    type SqlType = Bool;
}

impl<Column: AppearsOnTable<Tables>, Tables> AppearsOnTable<Tables> for Is<Column> where Self: Expression {}

impl<Column: SelectableExpression<Tables>, Tables> SelectableExpression<Tables> for Is<Column> where
    Self: AppearsOnTable<Tables>
{
}

impl<Column: QueryFragment<Pg>> QueryFragment<Pg> for Is<Column> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.column.walk_ast(out.reborrow())?;
        out.push_sql(" = '");
        out.push_sql(self.label);
        out.push_sql("'");
        Ok(())
    }
}

/// Limits a boxed query to some of the few values of a column. There is no limit if none is given.
macro_rules! one_of {
    ($query:expr, $column:expr, $labels:expr) => {
        match $labels.as_slice() {
            [] => $query,
            [one] => $query.filter($crate::store::filters::Is { column: $column, label: one.as_str() }),
            several => $query.filter($column.eq_any(several)),
        }
    };
}

/// Types with a value before and a value after every value of a column.
pub(super) trait Endless: Copy {
    fn start() -> Self;
    fn end() -> Self;
}

impl Endless for NaiveDate {
    fn start() -> Self {
        NaiveDate::from_ymd_opt(1, 1, 1).unwrap_or(NaiveDate::MIN)
    }

    fn end() -> Self {
        NaiveDate::from_ymd_opt(10_000, 1, 1).unwrap_or(NaiveDate::MAX)
    }
}

impl Endless for DateTime<Utc> {
    fn start() -> Self {
        Utc.from_utc_datetime(&NaiveDate::start().into())
    }

    fn end() -> Self {
        Utc.from_utc_datetime(&NaiveDate::end().into())
    }
}

/// Limits a boxed query to values at or after one and before another, if either is given. The query always has both
/// bounds: with only one of them, the planner assumes a third of all rows, whatever the value is.
macro_rules! between {
    ($query:expr, $column:expr, $after:expr, $before:expr) => {
        match ($after, $before) {
            (None, None) => $query,
            (after, before) => {
                use $crate::store::filters::Endless;
                $query
                    .filter($column.ge(after.unwrap_or_else(Endless::start)))
                    .filter($column.lt(before.unwrap_or_else(Endless::end)))
            }
        }
    };
}

/// How long after the instant of a row its id may be made: by a request, or by a long invoice run.
const MADE_WITHIN: TimeDelta = TimeDelta::days(2);

/// Limits a boxed query in order of id to rows whose instant is in a range. As their ids were made soon after that
/// instant, an index over ids can be used.
macro_rules! made_between {
    ($query:expr, $id:expr, $column:expr, $after:expr, $before:expr) => {{
        let mut query = between!($query, $column, $after, $before);
        if let Some(after) = $after {
            query = query.filter($id.ge($crate::domain::id::first_at(after)));
        }
        if let Some(before) = $before {
            query = query.filter($id.lt($crate::store::filters::last_made_before(before)));
        }
        query
    }};
}

/// An id that is greater than the ids of all rows with an earlier instant.
pub(super) fn last_made_before(at: DateTime<Utc>) -> Uuid {
    first_at(at.checked_add_signed(MADE_WITHIN).unwrap_or(at))
}

pub(super) use {between, made_between, one_of};
