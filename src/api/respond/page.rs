//! Pages of lists: the parameters, opaque cursors, and the response with its `Link` header.

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

use crate::api::contract::code::ErrorCode;
use crate::api::contract::problem::Problem;
use crate::api::contract::query::Query;
use crate::api::middleware::incoming::Incoming;
use crate::api::middleware::large::{Turn, turn};
use crate::domain::listing::{Page, Position, SortValue, Window, fitting, json_size};

const DEFAULT_LIMIT: i64 = 50;

/// The filters of a list, and the requested page. `F` must have `limit` and `cursor`.
pub struct Listing<F> {
    pub filter: F,
    pub window: Window,
    place: Place,
    _turn: Option<Turn>,
}

/// The `limit` and `cursor` of a query.
pub trait Paged {
    fn limit(&self) -> Option<i64>;
    /// The position after which the page starts.
    fn cursor(&self) -> Option<&str>;
}

/// Identifies a list: the path and all parameters except those of the page.
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
    pub(in crate::api) async fn new(request: &HttpRequest, query: Query<F>) -> Result<Self, Problem> {
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

    /// Returns the response that `list` builds from the rows and the next cursor. A page ends at its limit, or when its
    /// rows reach [`PAGE_BYTES`](crate::domain::listing::PAGE_BYTES). It has at least one row if there is one.
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

/// Identifies a list: a cursor of another list has another fingerprint.
fn fingerprint(path: &str, query: &Map<String, Value>) -> String {
    let hash = Sha256::digest(format!("{path}?{}", Value::Object(query.clone())));
    URL_SAFE_NO_PAD.encode(&hash[..12])
}

fn encode(cursor: &Cursor) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(cursor).unwrap_or_default())
}

fn decode(cursor: &str) -> Option<Cursor> {
    let cursor: Cursor = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    // A forged cursor must not cause a database error.
    let years = 1..=9999;
    let is_sane = match &cursor.after.value {
        SortValue::Text(text) => !text.contains('\0'),
        SortValue::Instant(instant) => years.contains(&instant.year()),
        SortValue::Date(date) => years.contains(&date.year()),
        SortValue::Number(_) | SortValue::Id => true,
    };
    is_sane.then_some(cursor)
}

/// Declares the query of a list: its filters, with `limit` and `cursor`.
macro_rules! listing {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
        #[into_params(parameter_in = Query)]
        pub struct $name {
            $(#[serde(default)] $(#[$field_doc])* pub $field: $kind,)*
            /// The maximum number of rows of the page.
            #[serde(default)]
            #[param(minimum = 1, maximum = 200, default = 50, nullable = false)]
            pub limit: Option<i64>,
            /// `next_cursor` of the previous page. All other parameters must be the same as for that page.
            #[serde(default)]
            #[param(min_length = 1, max_length = 4096, nullable = false)]
            pub cursor: Option<String>,
        }

        impl crate::api::respond::page::Paged for $name {
            fn limit(&self) -> Option<i64> {
                self.limit
            }

            fn cursor(&self) -> Option<&str> {
                self.cursor.as_deref()
            }
        }
    };
}

/// Declares the response of a list.
macro_rules! list {
    ($name:ident of $item:ident) => {
        #[doc = concat!("One page of a list of `", stringify!($item), "`.")]
        #[derive(Debug, serde::Serialize, utoipa::ToSchema)]
        pub struct $name {
            /// The rows of the page.
            #[schema(max_items = 200)]
            pub data: Vec<$item>,
            /// The `cursor` of the next page; null on the last page.
            #[schema(required, max_length = 4096, example = "eyJsaXN0IjoiVGg5cTJ3cG1kZTRMYkZ5WiJ9")]
            pub next_cursor: Option<String>,
        }
    };
}

pub(crate) use {list, listing};

listing! {
    /// The requested page.
    PageQuery {}
}
