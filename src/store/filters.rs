//! How filters are written, so that PostgreSQL finds what they match by an index, however much there is.
//!
//! A kept statement is planned for its parameters the first few times, and then once for all if that does not look more
//! expensive. It would be: a plan for all takes a rare value for an ordinary one and reads the whole table in the order
//! of the list.

use chrono::{DateTime, NaiveDate, TimeDelta, TimeZone, Utc};
use diesel::expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::Bool;
use uuid::Uuid;

use crate::domain::id::first_at;

/// That a column has one of the few values that it can have. The value stands in the statement: the planner knows how
/// many rows have it, and an index over the rows that have a rare one serves.
#[derive(Debug, Clone, Copy, ValidGrouping)]
pub(super) struct Is<Column> {
    pub(super) column: Column,
    /// One of the labels of the program, which have letters, underscores and full stops.
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

/// Limits a boxed query to some of the few values of a column; to none of them in particular when none is named.
macro_rules! one_of {
    ($query:expr, $column:expr, $labels:expr) => {
        match $labels.as_slice() {
            [] => $query,
            [one] => $query.filter($crate::store::filters::Is { column: $column, label: one.as_str() }),
            several => $query.filter($column.eq_any(several)),
        }
    };
}

/// What has an end on each side of every value that it can have.
pub(super) trait Endless: Copy {
    /// Before them all.
    fn start() -> Self;
    /// After them all.
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

/// Limits a boxed query to values at or after one, and before another, where there is either. It always has both ends:
/// for one of them the planner would assume a third of all rows, whatever it is, and for both it looks.
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

/// How long after the instant that a row tells its id may be made: a request, or a long run of invoices.
const MADE_WITHIN: TimeDelta = TimeDelta::days(2);

/// Limits a boxed query in order of id to rows that tell an instant in a range, whose ids were made soon after: an index
/// over ids serves.
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

/// An id that is greater than those of rows that tell an earlier instant.
pub(super) fn last_made_before(at: DateTime<Utc>) -> Uuid {
    first_at(at.checked_add_signed(MADE_WITHIN).unwrap_or(at))
}

pub(super) use {between, made_between, one_of};
