//! Lists: filters, sort orders and pages.

use std::io::{self, Write};

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The position of a row in a list: its sort value and its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// [`SortValue::Id`] for lists that are sorted by id.
    pub value: SortValue,
    pub id: Uuid,
}

/// A value that a list is sorted by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SortValue {
    /// A name or a code.
    Text(String),
    Instant(DateTime<Utc>),
    Date(NaiveDate),
    Number(i32),
    /// The list is sorted by the id itself.
    Id,
}

/// The requested part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The maximum number of rows.
    pub limit: i64,
    /// Start after this row.
    pub after: Option<Position>,
}

/// The maximum size of the rows of a page, in bytes. With the rest of the page, a response stays below 1 MiB.
pub const PAGE_BYTES: usize = (1 << 20) - (8 << 10);

/// The size of a value as JSON, in bytes.
#[must_use]
pub fn json_size(value: &impl Serialize) -> usize {
    let mut size = Size(0);
    // Counting cannot fail. A value that cannot be serialized fails when the response is written.
    let _ = serde_json::to_writer(&mut size, value);
    size.0
}

/// Returns how many of the first rows fit into a page, given their sizes. One row always fits.
pub fn fitting(sizes: impl IntoIterator<Item = usize>) -> usize {
    let mut all = 0;
    let fits = |size: &usize| {
        all += size;
        all <= PAGE_BYTES
    };
    sizes.into_iter().take_while(fits).count().max(1)
}

/// Counts written bytes.
struct Size(usize);

impl Write for Size {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a page whose rows can be large: first a few rows, then as many as fit according to their average size. So
/// hardly more rows are read than the page contains.
#[derive(Debug)]
pub struct Reading {
    limit: i64,
    rows: i64,
    bytes: usize,
}

impl Reading {
    /// The number of rows to read first.
    const FIRST: i64 = 20;

    /// A page of at most `limit` rows.
    #[must_use]
    pub fn new(limit: i64) -> Self {
        Self { limit, rows: 0, bytes: 0 }
    }

    /// Returns how many rows to read next; `None` when the page is full.
    #[must_use]
    pub fn next(&self) -> Option<i64> {
        let room = PAGE_BYTES.saturating_sub(self.bytes);
        let average = self.bytes / usize::try_from(self.rows.max(1)).unwrap_or(1);
        let fit =
            if self.rows == 0 { Self::FIRST } else { i64::try_from(room / average.max(1)).unwrap_or(i64::MAX).max(1) };
        Some(fit.min(self.limit - self.rows)).filter(|rows| *rows > 0 && room > 0)
    }

    /// Records the sizes of the rows that were read.
    pub fn note(&mut self, sizes: impl IntoIterator<Item = usize>) {
        for size in sizes {
            self.rows += 1;
            self.bytes += size;
        }
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub rows: Vec<T>,
    /// The position of the last row, if there are more rows.
    pub next: Option<Position>,
    /// The position of each row.
    positions: Vec<Position>,
}

impl<T> Page<T> {
    /// An empty page, with no next page.
    #[must_use]
    pub fn empty() -> Self {
        Self { rows: Vec::new(), next: None, positions: Vec::new() }
    }

    /// Creates a page from up to `limit + 1` rows. The extra row only shows that there is a next page.
    pub fn cut(mut rows: Vec<T>, limit: i64, position: impl Fn(&T) -> Position) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let positions: Vec<_> = rows.iter().map(position).collect();
        let next = positions.last().filter(|_| more).cloned();
        Self { rows, next, positions }
    }

    /// Keeps the first `rows` rows. The removed rows are on the next page.
    #[must_use]
    pub fn first(mut self, rows: usize) -> Self {
        if rows < self.rows.len() {
            self.rows.truncate(rows);
            self.positions.truncate(rows);
            self.next = self.positions.last().cloned();
        }
        self
    }

    /// Appends the next page.
    #[must_use]
    pub fn then(mut self, next: Self) -> Self {
        self.rows.extend(next.rows);
        self.positions.extend(next.positions);
        Self { next: next.next, ..self }
    }

    /// Replaces the rows by as many other rows at the same positions.
    pub fn with_rows<U>(self, rows: Vec<U>) -> Page<U> {
        Page { rows, next: self.next, positions: self.positions }
    }

    /// Converts each row. The positions stay the same.
    pub fn map<U>(mut self, change: impl FnMut(T) -> U) -> Page<U> {
        let rows = std::mem::take(&mut self.rows).into_iter().map(change).collect();
        self.with_rows(rows)
    }

    /// Converts each row. The positions stay the same.
    ///
    /// # Errors
    /// The first error of `change`.
    pub fn try_map<U, E>(mut self, change: impl FnMut(T) -> Result<U, E>) -> Result<Page<U>, E> {
        let rows = std::mem::take(&mut self.rows).into_iter().map(change).collect::<Result<_, E>>()?;
        Ok(self.with_rows(rows))
    }
}
