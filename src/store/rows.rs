//! Rows to be written. All rows that a unit of work writes to a table are sent in one statement. A connection caches
//! two statements for each table: one for a single row, and one for any number of rows.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::mem::take;

use diesel::expression::AsExpression;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::result::QueryResult;
use diesel::sql_types::{SingleValue, SqlType};

use super::run::{Kind, Write};

/// The order in which new rows are written. A table comes after the tables that its new rows refer to.
pub const ORDER: [&str; 12] = [
    "price_list_prices",
    "orders",
    "subscriptions",
    "subscription_terms",
    "inventory_lines",
    "inventory_ledger",
    "order_lines",
    "invoices",
    "charges",
    "invoice_lines",
    "events",
    "webhook_deliveries",
];

/// The columns of a row that is written. The key comes first.
pub(super) trait Record: Send + Sync + Sized + 'static {
    const TABLE: &'static str;
    const COLUMNS: &'static [&'static str];
    /// The number of key columns.
    const KEY: usize;
    /// The number of columns that an update does not change, including the key.
    const FIXED: usize;

    /// The columns of one row.
    fn values(self) -> Vec<Fragment>;

    /// The columns of several rows, each as an array.
    fn arrays(rows: &[Self]) -> Vec<Fragment>;
}

/// A statement, or a part of it.
pub(super) type Fragment = Box<dyn QueryFragment<Pg> + Send + Sync>;

/// A parameter with the type of its column.
pub(super) fn parameter<ST, T>(value: T) -> Fragment
where
    ST: SqlType + SingleValue,
    T: AsExpression<ST>,
    T::Expression: QueryFragment<Pg> + Send + Sync + 'static,
{
    Box::new(value.as_expression())
}

/// The same column of several rows.
pub(super) fn column<R, T>(rows: &[R], value: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

/// Declares which columns of a table are written: the key, the columns that an update does not change, and the others.
/// For a statement in plain SQL, the columns are given with their types.
macro_rules! record {
    ($row:ident in $table:ident: key($($key:ident),+) fixed($($fixed:ident),*) rest($($rest:ident),*)) => {
        record!(@ $row, $table, <[&str]>::len(&[$(stringify!($key)),+]), <[&str]>::len(&[$(stringify!($fixed)),*]),
            $($key: diesel::dsl::SqlTypeOf<$table::$key>,)+
            $($fixed: diesel::dsl::SqlTypeOf<$table::$fixed>,)*
            $($rest: diesel::dsl::SqlTypeOf<$table::$rest>,)*);
    };
    ($row:ident in $table:ident: $($column:ident: $type:ty),+ $(,)?) => {
        record!(@ $row, $table, 0, 0, $($column: $type,)+);
    };
    (@ $row:ident, $table:ident, $key:expr, $fixed:expr, $($column:ident: $type:ty,)+) => {
        impl $crate::store::rows::Record for $row {
            const TABLE: &'static str = stringify!($table);
            const COLUMNS: &'static [&'static str] = &[$(stringify!($column)),+];
            const KEY: usize = $key;
            const FIXED: usize = $key + $fixed;

            fn values(self) -> Vec<$crate::store::rows::Fragment> {
                vec![$($crate::store::rows::parameter::<$type, _>(self.$column)),+]
            }

            fn arrays(rows: &[Self]) -> Vec<$crate::store::rows::Fragment> {
                use $crate::store::rows::{column, parameter};
                vec![$(parameter::<diesel::sql_types::Array<$type>, _>(column(rows, |row| row.$column.clone()))),+]
            }
        }
    };
}

pub(super) use record;

/// How rows are written. A unit of work writes in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verb {
    Insert,
    /// Existing rows get the new values.
    Upsert,
    /// Rows that conflict with an existing row are left out.
    InsertMissing,
    /// A statement in plain SQL. `$rows` stands for the rows, with their position among them: `new (…, place)`.
    Own(&'static str),
    /// The rows exist. A unit of work updates no row twice.
    Update,
}

/// Inserts new rows.
pub(super) fn insert<R: Record>(rows: impl IntoIterator<Item = R>) -> Write {
    write(Verb::Insert, rows)
}

/// Inserts rows. Existing rows with the same key are replaced.
pub(super) fn upsert<R: Record>(rows: impl IntoIterator<Item = R>) -> Write {
    write(Verb::Upsert, rows)
}

/// Inserts rows, except those that conflict with an existing row in any unique key.
pub(super) fn insert_missing<R: Record>(rows: impl IntoIterator<Item = R>) -> Write {
    write(Verb::InsertMissing, rows)
}

/// Updates existing rows.
pub(super) fn update<R: Record>(rows: impl IntoIterator<Item = R>) -> Write {
    write(Verb::Update, rows)
}

/// Passes rows to a statement in plain SQL, in which `$rows` stands for them: `new (…, place)`.
pub(super) fn own<R: Record>(sql: &'static str, rows: impl IntoIterator<Item = R>) -> Write {
    write(Verb::Own(sql), rows)
}

fn write<R: Record>(verb: Verb, rows: impl IntoIterator<Item = R>) -> Write {
    Write(Kind::Rows(Box::new(Rows { verb, rows: rows.into_iter().collect() })))
}

/// Rows of one table that are written in the same way.
struct Rows<R> {
    verb: Verb,
    rows: Vec<R>,
}

/// The position of rows among the writes of a unit of work. Rows with the same position are sent together.
type Place = (Verb, usize, TypeId);

/// Rows of any table.
pub(super) trait AnyRows: Any + Send + Sync {
    fn place(&self) -> Place;

    /// Adds rows with the same position.
    fn append(&mut self, more: Box<dyn AnyRows>);

    /// The statement that writes the rows, if there are any.
    fn statement(self: Box<Self>) -> Option<Fragment>;
}

impl<R: Record> AnyRows for Rows<R> {
    fn place(&self) -> Place {
        let place = ORDER.iter().position(|table| *table == R::TABLE);
        (self.verb, place.unwrap_or(ORDER.len()), TypeId::of::<R>())
    }

    fn append(&mut self, more: Box<dyn AnyRows>) {
        let more: Box<dyn Any> = more;
        if let Ok(more) = more.downcast::<Self>() {
            self.rows.extend(more.rows);
        }
    }

    fn statement(mut self: Box<Self>) -> Option<Fragment> {
        if self.rows.is_empty() {
            return None;
        }
        let mut sql = Sql::default();
        let (before, behind) = self.verb.text::<R>();
        sql.text(before);
        match self.rows.len() {
            // PostgreSQL plans this as if the values were written where they are used.
            1 => sql.text("(VALUES (").list(self.rows.pop()?.values()).text(", 1))"),
            _ => sql.text("unnest(").list(R::arrays(&self.rows)).text(") WITH ORDINALITY"),
        };
        sql.text(format!(" AS new ({}, place)", R::COLUMNS.join(", "))).text(behind);
        Some(Box::new(sql))
    }
}

impl Verb {
    /// The text before the rows, and the text after them.
    fn text<R: Record>(self) -> (String, String) {
        let (table, all) = (R::TABLE, R::COLUMNS.join(", "));
        let (key, rest) =
            (R::COLUMNS.get(..R::KEY).unwrap_or_default(), R::COLUMNS.get(R::FIXED..).unwrap_or_default());
        let set = |from| format!("SET ({}) = ROW({})", rest.join(", "), of(from, rest));
        let insert = format!("INSERT INTO {table} ({all}) SELECT {all} FROM ");
        match self {
            Self::Insert => (insert, String::new()),
            Self::InsertMissing => (insert, " ON CONFLICT DO NOTHING".to_owned()),
            Self::Upsert => (insert, format!(" ON CONFLICT ({}) DO UPDATE {}", key.join(", "), set("excluded"))),
            Self::Update => {
                let is_it = format!(" WHERE ({}) = ({})", of(table, key), of("new", key));
                (format!("UPDATE {table} {} FROM ", set("new")), is_it)
            }
            Self::Own(sql) => {
                let (before, behind) = sql.split_once("$rows").unwrap_or((sql, ""));
                (before.to_owned(), behind.to_owned())
            }
        }
    }
}

/// Columns of a table with their full names.
fn of(table: &str, columns: &[&str]) -> String {
    columns.iter().map(|column| format!("{table}.{column}")).collect::<Vec<_>>().join(", ")
}

/// A statement made of texts and parameters.
#[derive(Default)]
struct Sql(Vec<Part>);

enum Part {
    Text(String),
    Parameter(Fragment),
}

impl Sql {
    fn text(&mut self, text: impl Into<String>) -> &mut Self {
        self.0.push(Part::Text(text.into()));
        self
    }

    /// Appends parameters, separated by commas.
    fn list(&mut self, parameters: Vec<Fragment>) -> &mut Self {
        for (position, parameter) in parameters.into_iter().enumerate() {
            if position > 0 {
                self.text(", ");
            }
            self.0.push(Part::Parameter(parameter));
        }
        self
    }
}

impl QueryFragment<Pg> for Sql {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_sql(text),
                Part::Parameter(parameter) => parameter.walk_ast(out.reborrow())?,
            }
        }
        Ok(())
    }
}

/// Combines writes into statements: one statement for all rows with the same position, tables in the order of
/// [`ORDER`]. Rows are not moved before another statement, because they may depend on it.
pub(super) fn together(writes: Vec<Write>) -> Vec<Fragment> {
    let mut statements = Vec::new();
    let mut rows: BTreeMap<Place, Box<dyn AnyRows>> = BTreeMap::new();
    for write in writes {
        match write.0 {
            Kind::Rows(more) => match rows.entry(more.place()) {
                Entry::Vacant(place) => drop(place.insert(more)),
                Entry::Occupied(mut place) => place.get_mut().append(more),
            },
            Kind::Statement(statement) => {
                statements.extend(take(&mut rows).into_values().filter_map(|rows| rows.statement()));
                statements.push(statement);
            }
        }
    }
    statements.extend(rows.into_values().filter_map(|rows| rows.statement()));
    statements
}
