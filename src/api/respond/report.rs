//! Reports: rows as JSON in pages, or as complete CSV, depending on `Accept`.

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use chrono::NaiveDate;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::api::contract::problem::{FieldError, Problem};
use crate::api::contract::query::Query;
use crate::api::middleware::negotiate::Accepted;
use crate::api::respond::csv::{self, CSV, Record};
use crate::api::respond::page::{Listing, Paged};
use crate::domain::listing::{Page, Window};
use crate::domain::refusal::ViolationCode;

/// A request for a report.
pub enum Report<Q> {
    /// One page, as JSON.
    Page(Listing<Q>),
    /// The whole report, as CSV.
    Csv(Q, HttpRequest),
}

/// The query of a report: the query of a list, with `columns` and `bom`.
pub trait ReportQuery: Paged + DeserializeOwned {
    type Column;
    /// The requested columns, in order; empty for all.
    fn columns(&self) -> &[Self::Column];
    /// Whether CSV starts with a byte order mark.
    fn bom(&self) -> bool;
}

impl<Q: ReportQuery + 'static> FromRequest for Report<Q> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let accepted = Accepted::from_request(request, payload).into_inner();
        let query = Query::from_request(request, payload).into_inner();
        let request = request.clone();
        async move { Self::new(&request, query?, accepted?).await }.boxed_local()
    }
}

impl<Q: ReportQuery> Report<Q> {
    async fn new(request: &HttpRequest, query: Query<Q>, accepted: Accepted) -> Result<Self, Problem> {
        let is_csv = accepted == Accepted(CSV);
        let errors = if is_csv { wrong_with_csv(&query.json) } else { wrong_with_json(&query.json) };
        if !errors.is_empty() {
            return Err(Problem::invalid(errors));
        }
        Ok(if is_csv {
            Self::Csv(query.value, request.clone())
        } else {
            Self::Page(Listing::new(request, query).await?)
        })
    }

    pub fn query(&self) -> &Q {
        match self {
            Self::Page(listing) => &listing.filter,
            Self::Csv(query, _) => query,
        }
    }

    /// Returns the response: a page that `list` builds from the rows and the next cursor, or a file named after the
    /// report and the day.
    ///
    /// # Errors
    /// The errors of `load`.
    pub async fn answer<R, L>(
        self,
        name: &str,
        today: NaiveDate,
        load: impl AsyncFn(Window) -> Result<Page<R>, Problem> + 'static,
        list: impl FnOnce(Vec<R>, Option<String>) -> L,
    ) -> Result<HttpResponse, Problem>
    where
        R: Record<Column = Q::Column> + Serialize + 'static,
        L: Serialize,
    {
        match self {
            Self::Page(listing) => Ok(listing.answer(load(listing.window.clone()).await?, list)),
            Self::Csv(query, request) => {
                csv::answer(request, &format!("{name}-{today}"), query.columns(), query.bom(), load).await
            }
        }
    }
}

/// Parameters without effect are rejected, because nothing that a client sends may be silently dropped.
fn wrong_with_csv(query: &Map<String, Value>) -> Vec<FieldError> {
    let detail = "CSV always contains the whole report. Omit this parameter, or accept `application/json`.";
    let mut errors = refused(query, &["limit", "cursor"], detail);
    let columns: Vec<_> = query.get("columns").and_then(Value::as_array).into_iter().flatten().collect();
    for (index, column) in columns.iter().enumerate() {
        if columns[..index].contains(column) {
            let detail = format!("The column {column} is listed twice. Remove one.");
            errors.push(FieldError::of_parameter("columns", ViolationCode::Duplicate, detail));
        }
    }
    errors
}

fn wrong_with_json(query: &Map<String, Value>) -> Vec<FieldError> {
    let mut errors =
        refused(query, &["columns"], "JSON always contains every field. Omit this parameter, or accept `text/csv`.");
    errors.extend(refused(query, &["bom"], "JSON has no byte order mark. Omit this parameter, or accept `text/csv`."));
    errors
}

fn refused(query: &Map<String, Value>, names: &[&str], detail: &str) -> Vec<FieldError> {
    let given = names.iter().filter(|name| query.contains_key(**name));
    given.map(|name| FieldError::of_parameter(name, ViolationCode::NotAllowed, detail)).collect()
}
