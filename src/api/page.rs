//! Pages of lists: what a client may ask for, opaque cursors, and the answer with its `Link`.

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Datelike;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::code::ErrorCode;
use super::incoming::Incoming;
use super::large::{Turn, turn};
use super::problem::Problem;
use super::query::Query;
use crate::domain::listing::{Page, Position, SortValue, Window, fitting, json_size};

const DEFAULT_LIMIT: i64 = 50;

/// A list's filters, and the part of the list that is wanted. `F` must have `limit` and `cursor`.
pub struct Listing<F> {
    /// The filters.
    pub filter: F,
    /// The part.
    pub window: Window,
    place: Place,
    _turn: Option<Turn>,
}

/// What `limit` and `cursor` of a query were.
pub trait Paged {
    /// The most rows.
    fn limit(&self) -> Option<i64>;
    /// Where the page before ended.
    fn cursor(&self) -> Option<&str>;
}

/// Which list it is: the path and everything that was asked of it, but the page.
struct Place {
    path: String,
    query: Map<String, Value>,
    fingerprint: String,
}

#[derive(Serialize, Deserialize)]
struct Cursor {
    list: String,
    after: Position,
}

impl<F: Paged + DeserializeOwned + 'static> FromRequest for Listing<F> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let query = Query::<F>::from_request(request, payload).into_inner();
        let request = request.clone();
        async move { Self::new(&request, query?).await }.boxed_local()
    }
}

impl<F: Paged> Listing<F> {
    pub(super) async fn new(request: &HttpRequest, query: Query<F>) -> Result<Self, Problem> {
        let mut listing = Self::parse(&Incoming::of(request)?.path, query)?;
        if listing.window.limit > DEFAULT_LIMIT {
            listing._turn = Some(turn(request).await);
        }
        Ok(listing)
    }

    fn parse(path: &str, query: Query<F>) -> Result<Self, Problem> {
        let Query { value: filter, json: mut query } = query;
        query.remove("cursor");
        let mut what = query.clone();
        what.remove("limit");
        let fingerprint = fingerprint(path, &what);
        let after = match filter.cursor() {
            None => None,
            Some(cursor) => {
                let cursor = decode(cursor).ok_or_else(|| Problem::of(ErrorCode::CursorInvalid))?;
                if cursor.list != fingerprint {
                    return Err(Problem::of(ErrorCode::CursorMismatch));
                }
                Some(cursor.after)
            }
        };
        let window = Window { limit: filter.limit().unwrap_or(DEFAULT_LIMIT), after };
        let place = Place { path: path.to_owned(), query, fingerprint };
        Ok(Self { filter, window, place, _turn: None })
    }

    /// The response: what `list` makes of the rows and the next cursor. A page ends at its limit, or where its rows
    /// reach [`PAGE_BYTES`](crate::domain::listing::PAGE_BYTES); one row is always on it.
    pub fn answer<T: Serialize, L: Serialize>(
        &self,
        page: Page<T>,
        list: impl FnOnce(Vec<T>, Option<String>) -> L,
    ) -> HttpResponse {
        let fitting = fitting(page.rows.iter().map(json_size));
        let page = page.first(fitting);
        let place = &self.place;
        let cursor = page.next.map(|after| encode(&Cursor { list: place.fingerprint.clone(), after }));
        let mut answer = HttpResponse::Ok();
        if let Some(cursor) = &cursor {
            answer.insert_header((header::LINK, format!("<{}>; rel=\"next\"", place.link(cursor))));
        }
        answer.json(list(page.rows, cursor))
    }
}

impl Place {
    fn link(&self, cursor: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.query {
            match value {
                Value::Array(items) => {
                    query.extend_pairs(items.iter().map(|item| (name, text(item))));
                }
                value => {
                    query.append_pair(name, &text(value));
                }
            }
        }
        format!("{}?{}", self.path, query.append_pair("cursor", cursor).finish())
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Stands for a list: a cursor of another list has another one.
fn fingerprint(path: &str, query: &Map<String, Value>) -> String {
    let hash = Sha256::digest(format!("{path}?{}", Value::Object(query.clone())));
    URL_SAFE_NO_PAD.encode(&hash[..12])
}

fn encode(cursor: &Cursor) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(cursor).unwrap_or_default())
}

fn decode(cursor: &str) -> Option<Cursor> {
    let cursor: Cursor = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    // A cursor that somebody made up must not upset the database.
    let years = 1..=9999;
    let is_sane = match &cursor.after.value {
        SortValue::Text(text) => !text.contains('\0'),
        SortValue::Instant(instant) => years.contains(&instant.year()),
        SortValue::Date(date) => years.contains(&date.year()),
        SortValue::Number(_) | SortValue::Id => true,
    };
    is_sane.then_some(cursor)
}

/// Declares a list's query: its filters, with `limit` and `cursor`.
macro_rules! listing {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
        #[into_params(parameter_in = Query)]
        pub struct $name {
            $(#[serde(default)] $(#[$field_doc])* pub $field: $kind,)*
            /// The most rows of the page.
            #[serde(default)]
            #[param(minimum = 1, maximum = 200, default = 50, nullable = false)]
            pub limit: Option<i64>,
            /// `next_cursor` of the page before. The other parameters must be the same as there.
            #[serde(default)]
            #[param(min_length = 1, max_length = 4096, nullable = false)]
            pub cursor: Option<String>,
        }

        impl crate::api::page::Paged for $name {
            fn limit(&self) -> Option<i64> {
                self.limit
            }

            fn cursor(&self) -> Option<&str> {
                self.cursor.as_deref()
            }
        }
    };
}

/// Declares a list's answer.
macro_rules! list {
    ($name:ident of $item:ident) => {
        #[doc = concat!("One page of a list of `", stringify!($item), "`.")]
        #[derive(Debug, serde::Serialize, utoipa::ToSchema)]
        pub struct $name {
            /// The rows of the page.
            #[schema(max_items = 200)]
            pub data: Vec<$item>,
            /// The `cursor` of the next page; null when this is the last.
            #[schema(required, max_length = 4096, example = "eyJsaXN0IjoiVGg5cTJ3cG1kZTRMYkZ5WiJ9")]
            pub next_cursor: Option<String>,
        }
    };
}

pub(crate) use {list, listing};

listing! {
    /// Which page.
    PageQuery {}
}
