//! Keyset pages: the rows after the last row of the previous page are found by an index, so that every page costs the
//! same.

/// Limits a boxed query to the rows after the previous page, ordered by a column and, for equal values, by id.
///
/// `column >= value` is implied by the condition after it. It is there because PostgreSQL can start an index scan from
/// it, but not from the `OR`.
macro_rules! keyset {
    ($query:expr, $column:expr, $id:expr, $window:expr, $value:expr, ascending) => {
        keyset!(@ $query, $column, $id, $window, $value, ge, gt, asc)
    };
    ($query:expr, $column:expr, $id:expr, $window:expr, $value:expr, descending) => {
        keyset!(@ $query, $column, $id, $window, $value, le, lt, desc)
    };
    (@ $query:expr, $column:expr, $id:expr, $window:expr, $value:expr, $from:ident, $behind:ident, $order:ident) => {{
        let query = $query.order(($column.$order(), $id.$order()));
        match ($window.after.as_ref(), $value) {
            (Some(after), Some(value)) => query.filter(
                $column.$from(value.clone()).and($column.$behind(value).or($id.$behind(after.id))),
            ),
            _ => query,
        }
    }};
}

/// Fetches the rows of a window and one more, which shows whether there is a next page. A filtered list is planned each
/// time for the values of its filters, because a generic plan cannot know which values are rare.
macro_rules! fetch {
    ($conn:expr, $query:expr, $window:expr, $is_filtered:expr) => {
        if $is_filtered {
            $query.limit($window.limit + 1).load(&mut $conn).await?
        } else {
            $crate::store::run::UpTo::new($query, $window.limit + 1).load(&mut $conn).await?
        }
    };
}

/// [`keyset`] for a table of companies.
macro_rules! company_keyset {
    ($query:expr, $table:ident, $sort:expr, $window:expr) => {{
        let (name, created, id) = ($table::name_key, $table::created_at, $table::id);
        let (text, instant) = (page::text_after($window), page::instant_after($window));
        match $sort {
            CompanySort::NameAscending => keyset!($query, name, id, $window, text, ascending),
            CompanySort::NameDescending => keyset!($query, name, id, $window, text, descending),
            CompanySort::CreatedAscending => keyset!($query, created, id, $window, instant, ascending),
            CompanySort::CreatedDescending => keyset!($query, created, id, $window, instant, descending),
        }
    }};
}

pub(crate) use {company_keyset, fetch, keyset};

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use crate::domain::listing::{Position, SortValue, Window};
use crate::domain::parties::company::CompanySort;
use crate::domain::text::sort_key;

/// The position of the last company of a page.
pub fn company_position(sort: CompanySort, name_key: &str, created_at: DateTime<Utc>, id: Uuid) -> Position {
    let value = match sort {
        CompanySort::NameAscending | CompanySort::NameDescending => SortValue::Text(name_key.to_owned()),
        CompanySort::CreatedAscending | CompanySort::CreatedDescending => SortValue::Instant(created_at),
    };
    Position { value, id }
}

/// The text at the end of the previous page.
pub fn text_after(window: &Window) -> Option<String> {
    match &window.after.as_ref()?.value {
        SortValue::Text(text) => Some(text.clone()),
        _ => None,
    }
}

/// The instant at the end of the previous page.
pub fn instant_after(window: &Window) -> Option<DateTime<Utc>> {
    match window.after.as_ref()?.value {
        SortValue::Instant(instant) => Some(instant),
        _ => None,
    }
}

/// The number at the end of the previous page.
pub fn number_after(window: &Window) -> Option<i32> {
    match window.after.as_ref()?.value {
        SortValue::Number(number) => Some(number),
        _ => None,
    }
}

/// The date at the end of the previous page.
pub fn date_after(window: &Window) -> Option<NaiveDate> {
    match window.after.as_ref()?.value {
        SortValue::Date(date) => Some(date),
        _ => None,
    }
}

/// A `LIKE` pattern that finds a part of a name in the sort key of the name.
pub fn containing(piece: &str) -> String {
    let escaped = sort_key::of(piece).replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_");
    format!("%{escaped}%")
}
