//! CSV (RFC 4180): cells, tables, and responses that are streamed while the rows are read.

use std::fmt::Display;

use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use csv::{Terminator, WriterBuilder};
use futures_util::stream;
use tracing::{Instrument, Span};
use utoipa::ToSchema;

use crate::api::contract::code::ErrorCode;
use crate::api::contract::problem::Problem;
use crate::api::middleware::authenticate;
use crate::domain::billing::order::{Bucket, OrderKind};
use crate::domain::id::{CustomerId, OrderId, ProductId, ResellerId, SubscriptionId};
use crate::domain::listing::{Page, Position, Window};
use crate::domain::money::Currency;
use crate::domain::subscription::SubscriptionStatus;
use crate::domain::text::{self, Code, CompanyName, Line};

/// The media type in `Accept`.
pub const CSV: &str = "text/csv";

/// The number of rows that are read and held in memory at once.
const CHUNK: i64 = 500;

/// A CSV table (RFC 4180): a line with the names of the columns, and a line for each row.
#[derive(ToSchema)]
#[schema(max_length = 2_147_483_647)]
#[allow(dead_code, reason = "this is documentation")]
pub struct Csv(String);

/// A value that can be in a cell.
pub trait Cell {
    /// The text of the cell; empty for no value.
    fn cell(&self) -> String;
}

/// A row of a table.
pub trait Record {
    type Column: Copy + Display + 'static;
    /// All columns, in order.
    const COLUMNS: &'static [Self::Column];
    fn cell(&self, column: Self::Column) -> String;
}

impl<T: Cell> Cell for Option<T> {
    fn cell(&self) -> String {
        self.as_ref().map(Cell::cell).unwrap_or_default()
    }
}

/// Texts from callers. A spreadsheet would evaluate a text that looks like a formula. A leading apostrophe prevents
/// this (OWASP, CSV injection).
macro_rules! texts {
    ($($kind:ty)+) => {$(
        impl Cell for $kind {
            fn cell(&self) -> String {
                without_formulas(&self.to_string())
            }
        }
    )+};
}

/// Adds an apostrophe before every part that a spreadsheet could evaluate as a formula. Depending on the locale,
/// programs also split at `;`, tabs and line breaks, even inside quotes, so every part is checked. Quotes, spaces and
/// invisible characters before the sign of a formula do not hide it, and full-width signs count too.
fn without_formulas(text: &str) -> String {
    const SIGNS: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
    let mut safe = String::with_capacity(text.len() + 1);
    if text.starts_with(['\t', '\r', '\n']) {
        safe.push('\'');
    }
    for part in text.split_inclusive([';', '\t', '\r', '\n']) {
        if part.trim_start_matches(|c| c == '"' || text::is_invisible(c)).starts_with(SIGNS) {
            safe.push('\'');
        }
        safe.push_str(part);
    }
    safe
}

/// Values that the service creates itself. A leading minus is a sign, not a formula.
macro_rules! plain {
    ($($kind:ty)+) => {$(
        impl Cell for $kind {
            fn cell(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

texts! { String CompanyName Code Line }
plain! { i32 i64 NaiveDate Currency OrderId CustomerId ResellerId ProductId SubscriptionId }
plain! { SubscriptionStatus OrderKind Bucket }

impl Cell for DateTime<Utc> {
    /// As in JSON.
    fn cell(&self) -> String {
        self.to_rfc3339_opts(SecondsFormat::AutoSi, true)
    }
}

/// Declares the columns of a row: their names, and the fields that contain them.
macro_rules! columns {
    ($(#[$doc:meta])* $name:ident of $row:ident { $($column:ident = $text:tt: $($field:ident).+,)+ }) => {
        crate::domain::label::label! {
            $(#[$doc])*
            $name { $($column = $text,)+ }
        }

        impl crate::api::respond::csv::Record for $row {
            type Column = $name;
            const COLUMNS: &'static [$name] = $name::ALL;

            fn cell(&self, column: $name) -> String {
                match column {
                    $($name::$column => crate::api::respond::csv::Cell::cell(&self.$($field).+),)+
                }
            }
        }
    };
}

pub(crate) use columns;

/// A table that is being written, with its remaining rows.
struct Table<R: Record, L> {
    request: HttpRequest,
    columns: Vec<R::Column>,
    bom: bool,
    load: L,
    rest: Rest<R>,
}

/// The remaining part of the table.
enum Rest<R> {
    /// The header line and the first rows, which were already read.
    All(Page<R>),
    /// The rows after this position.
    Behind(Position),
    /// No rows remain.
    Nothing,
}

/// The byte order mark of UTF-8. Without it, Excel assumes the encoding of the locale.
const BOM: &str = "\u{feff}";

/// Streams the whole table as a file with this name, with a byte order mark if `bom` is set. The first rows are read
/// before the response starts, so that a failed request returns a problem. The other rows are read in chunks, each
/// after the client has received the previous one. So no transaction waits for a slow client, and only one chunk is in
/// memory. The caller is authenticated again for each chunk, so that an expired or revoked key reads no further.
///
/// # Errors
/// The errors of reading the first rows.
pub async fn answer<R, L>(
    request: HttpRequest,
    name: &str,
    columns: &[R::Column],
    bom: bool,
    load: L,
) -> Result<HttpResponse, Problem>
where
    R: Record + 'static,
    L: AsyncFn(Window) -> Result<Page<R>, Problem> + 'static,
{
    let columns = if columns.is_empty() { R::COLUMNS } else { columns }.to_vec();
    let first = load(Window { limit: CHUNK, after: None }).await?;
    let table = Table { request, columns, bom, load, rest: Rest::All(first) };
    let span = Span::current();
    let chunks = stream::try_unfold(table, move |table| {
        let chunk = async {
            // Close the connection before the end of the response, so that the client does not mistake this part for
            // the whole table.
            table.advance().await.inspect_err(|problem| tracing::error!(%problem, "CSV response aborted"))
        };
        let chunk = chunk.instrument(span.clone());
        async { chunk.await.map_err(actix_web::Error::from) }
    });
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present"))
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.csv\"")))
        .streaming(chunks))
}

impl<R: Record, L: AsyncFn(Window) -> Result<Page<R>, Problem>> Table<R, L> {
    /// Returns the next chunk and the remaining table; `None` when everything is written.
    async fn advance(self) -> Result<Option<(Bytes, Self)>, Problem> {
        let (names, page) = match self.rest {
            Rest::All(page) => (self.columns.as_slice(), page),
            Rest::Behind(position) => {
                authenticate::context(&self.request).await?;
                (&[][..], (self.load)(Window { limit: CHUNK, after: Some(position) }).await?)
            }
            Rest::Nothing => return Ok(None),
        };
        let start = if self.bom && !names.is_empty() { BOM } else { "" };
        let chunk = write(start, names, &self.columns, &page.rows).map_err(|error| {
            tracing::error!(%error, "CSV rows cannot be written");
            Problem::of(ErrorCode::Internal)
        })?;
        let rest = page.next.map_or(Rest::Nothing, Rest::Behind);
        Ok(Some((chunk.into(), Self { rest, ..self })))
    }
}

/// Writes the start, the header line unless there are no names, and a line for each row.
fn write<R: Record>(
    start: &str,
    names: &[R::Column],
    columns: &[R::Column],
    rows: &[R],
) -> Result<Vec<u8>, csv::Error> {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::from(start));
    if !names.is_empty() {
        writer.write_record(names.iter().map(ToString::to_string))?;
    }
    for row in rows {
        writer.write_record(columns.iter().map(|column| row.cell(*column)))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Row {
        name: String,
        number: i32,
        note: Option<String>,
    }

    columns! {
        /// Columns for a test.
        RowColumn of Row { Name = "name": name, Number = "number": number, Note = "note": note, }
    }

    fn row(name: &str, number: i32, note: Option<&str>) -> Row {
        Row { name: name.to_owned(), number, note: note.map(str::to_owned) }
    }

    fn written(columns: &[RowColumn], rows: &[Row]) -> String {
        String::from_utf8(write("", columns, columns, rows).unwrap()).unwrap()
    }

    #[test]
    fn lines_end_as_rfc_4180_wants_and_cells_are_quoted_where_they_must_be() {
        let rows = [row("a, b", 1, None), row("say \"x\"", -2, Some("")), row("two\nlines", 0, Some("plain text"))];
        let text = "name,number,note\r\n\"a, b\",1,\r\n\"say \"\"x\"\"\",-2,\r\n\"two\nlines\",0,plain text\r\n";
        assert_eq!(written(RowColumn::ALL, &rows), text);
    }

    #[test]
    fn a_table_without_rows_has_its_header() {
        assert_eq!(written(RowColumn::ALL, &[]), "name,number,note\r\n");
    }

    #[test]
    fn columns_are_written_as_they_are_chosen() {
        let chosen = [RowColumn::Note, RowColumn::Name];
        assert_eq!(written(&chosen, &[row("a", 1, Some("b"))]), "note,name\r\nb,a\r\n");
    }

    #[test]
    fn a_line_of_one_empty_cell_is_not_an_empty_line() {
        assert_eq!(written(&[RowColumn::Note], &[row("a", 1, None)]), "note\r\n\"\"\r\n");
    }

    #[test]
    fn a_text_that_looks_like_a_formula_gets_an_apostrophe_and_a_number_does_not() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\u{b}=1", "＝1", "＋1", "－1", "＠x", "=", "-"] {
            assert_eq!(text.to_owned().cell(), format!("'{text}"));
            assert_eq!(Some(text.to_owned()).cell(), format!("'{text}"));
        }
        for text in ["", "a=1", "1-1", " x", "'quoted", "ä@b", "€", "🦀", "a; b", "a;b=1", "\u{feff}x", "👩‍👩‍👧"]
        {
            assert_eq!(text.to_owned().cell(), text);
        }
        assert_eq!((-5).cell(), "-5");
        assert_eq!((-5_i64).cell(), "-5");
    }

    #[test]
    fn a_formula_gets_an_apostrophe_also_behind_a_separator_and_invisible_characters() {
        for (text, cell) in [
            ("a;=1", "a;'=1"),
            ("a;b; -1;c", "a;b;' -1;c"),
            ("a\t@x", "a\t'@x"),
            ("a\n=1", "a\n'=1"),
            ("\t=1", "'\t'=1"),
            ("\r=1", "'\r'=1"),
            ("\n=1", "'\n'=1"),
            (" =1", "' =1"),
            ("\u{a0}=1", "'\u{a0}=1"),
            ("\u{feff}=1", "'\u{feff}=1"),
            ("\u{200b}\u{2060}＋1", "'\u{200b}\u{2060}＋1"),
            ("\u{3164}-1", "'\u{3164}-1"),
            ("a;\"=1\"", "a;'\"=1\""),
            ("=1;=2", "'=1;'=2"),
        ] {
            assert_eq!(text.to_owned().cell(), cell, "{text:?}");
        }
    }

    #[test]
    fn any_texts_are_read_back_as_they_were_but_for_apostrophes() {
        let without = |text: &str| text.replace('\'', "");
        proptest::proptest!(|(texts in proptest::collection::vec(".{0,8}|[,\"\r\n\t;=' +]{0,6}", 1..20))| {
            let rows: Vec<_> = texts.iter().map(|text| row(text, 7, Some(text))).collect();
            let written = written(RowColumn::ALL, &rows);
            let mut reader = csv::Reader::from_reader(written.as_bytes());
            let read: Vec<_> = reader.records().map(|record| record.unwrap()).collect();
            assert_eq!(read.len(), texts.len());
            for (record, text) in read.iter().zip(&texts) {
                assert_eq!(record.iter().collect::<Vec<_>>(), [text.cell().as_str(), "7", text.cell().as_str()]);
                assert_eq!(without(&record[0]), without(text));
                for part in record[0].split([';', '\t', '\r', '\n']) {
                    assert!(!part.trim_start().starts_with(['=', '+', '-', '@']), "{text:?}");
                }
            }
        });
    }
}
