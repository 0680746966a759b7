//! Keyset pages: the rows behind the last one, found by an index, at the same cost on every page.

/// Limits a boxed query to a window of a list in order of a column and, where that is equal, the id. It
/// asks for one row more than the window has, which tells whether there is a next page.
///
/// `column >= value` is implied by what follows; it is there because PostgreSQL can start an index scan
/// from it and not from the `OR`.
macro_rules! keyset {
    ($query:expr, $column:expr, $id:expr, $window:expr, $value:expr, ascending) => {
        keyset!(@ $query, $column, $id, $window, $value, ge, gt, asc)
    };
    ($query:expr, $column:expr, $id:expr, $window:expr, $value:expr, descending) => {
        keyset!(@ $query, $column, $id, $window, $value, le, lt, desc)
    };
    (@ $query:expr, $column:expr, $id:expr, $window:expr, $value:expr, $from:ident, $behind:ident, $order:ident) => {{
        let query = $query.order(($column.$order(), $id.$order())).limit($window.limit + 1);
        match ($window.after.as_ref(), $value) {
            (Some(after), Some(value)) => query.filter(
                $column.$from(value.clone()).and($column.$behind(value).or($id.$behind(after.id))),
            ),
            _ => query,
        }
    }};
}

pub(crate) use keyset;

use crate::domain::listing::{SortValue, Window};
use chrono::{DateTime, NaiveDate, Utc};

/// The text at which the page before ended.
pub fn text_after(window: &Window) -> Option<String> {
    match &window.after.as_ref()?.value {
        SortValue::Text(text) => Some(text.clone()),
        _ => None,
    }
}

/// The instant at which the page before ended.
pub fn instant_after(window: &Window) -> Option<DateTime<Utc>> {
    match window.after.as_ref()?.value {
        SortValue::Instant(instant) => Some(instant),
        _ => None,
    }
}

/// The date at which the page before ended.
pub fn date_after(window: &Window) -> Option<NaiveDate> {
    match window.after.as_ref()?.value {
        SortValue::Date(date) => Some(date),
        _ => None,
    }
}

/// A pattern for `LIKE` that finds a piece of a lower-cased name.
pub fn containing(piece: &str) -> String {
    let escaped = piece.to_lowercase().replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_");
    format!("%{escaped}%")
}
