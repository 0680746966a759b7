//! Orders.

use actix_web::{HttpResponse, get};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::money::Money;
use super::quote::OrderLine;
use crate::api::contract::path::Id;
use crate::api::contract::problem::{Problem, in_query};
use crate::api::contract::query::NoQuery;
use crate::api::middleware::authenticate::{Permit, Read};
use crate::api::respond::page::{Listing, PageQuery, list, listing};
use crate::domain::billing::order::{self, OrderFilter, OrderKind};
use crate::domain::id::{CustomerId, OrderId, SubscriptionId};
use crate::ops::orders;

/// The record of a confirmed change. It is never edited.
#[derive(Debug, Serialize, ToSchema)]
pub struct Order {
    /// The id of the order.
    pub id: OrderId,
    pub kind: OrderKind,
    /// The customer of the order.
    pub customer_id: CustomerId,
    /// The changes, with their cost.
    #[schema(max_items = 10_000)]
    pub lines: Vec<OrderLine>,
    /// The sum of the lines.
    pub total: Money,
    /// Who confirmed the order: `api_key:<id>`, `subject:<subject>` or `system`.
    #[schema(max_length = 300, example = "api_key:01990000-0000-7000-8000-000000000000")]
    pub confirmed_by: String,
    /// When the order was confirmed.
    pub confirmed_at: DateTime<Utc>,
}

/// An order without its lines.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrderSummary {
    /// The id of the order.
    pub id: OrderId,
    pub kind: OrderKind,
    /// The customer of the order.
    pub customer_id: CustomerId,
    /// The number of lines.
    #[schema(minimum = 0, maximum = 10_000, example = 2)]
    pub line_count: i64,
    /// The sum of the lines.
    pub total: Money,
    /// Who confirmed the order: `api_key:<id>`, `subject:<subject>` or `system`.
    #[schema(max_length = 300, example = "api_key:01990000-0000-7000-8000-000000000000")]
    pub confirmed_by: String,
    /// When the order was confirmed.
    pub confirmed_at: DateTime<Utc>,
}

list!(OrderList of OrderSummary);
list!(OrderLineList of OrderLine);

listing! {
    /// Filters of orders.
    OrderQuery {
        /// Only orders of this customer.
        #[param(nullable = false)]
        customer_id: Option<CustomerId>,
        /// Only orders with a line for this subscription.
        #[param(nullable = false)]
        subscription_id: Option<SubscriptionId>,
        /// Only orders of one of these kinds.
        #[param(max_items = 10)]
        kind: Vec<OrderKind>,
        /// Confirmed at this instant or later.
        #[param(nullable = false)]
        confirmed_after: Option<DateTime<Utc>>,
        /// Confirmed before this instant.
        #[param(nullable = false)]
        confirmed_before: Option<DateTime<Utc>>,
    }
}

impl From<&order::Order> for Order {
    fn from(order: &order::Order) -> Self {
        Self {
            id: order.id,
            kind: order.kind,
            customer_id: order.customer_id,
            lines: order.lines.iter().map(OrderLine::from).collect(),
            total: order.total.into(),
            confirmed_by: order.confirmed_by.clone(),
            confirmed_at: order.confirmed_at,
        }
    }
}

impl From<(order::Order, i64)> for OrderSummary {
    fn from((order, line_count): (order::Order, i64)) -> Self {
        Self {
            id: order.id,
            kind: order.kind,
            customer_id: order.customer_id,
            line_count,
            total: order.total.into(),
            confirmed_by: order.confirmed_by,
            confirmed_at: order.confirmed_at,
        }
    }
}

/// List orders
///
/// Returns orders without their lines, newest first.
#[utoipa::path(tag = "Orders", params(OrderQuery), responses(
    (status = 200, description = "A page of orders.", body = OrderList)
))]
#[get("/orders")]
pub async fn list_orders(permit: Permit<Read>, listing: Listing<OrderQuery>) -> Result<HttpResponse, Problem> {
    let query = &listing.filter;
    let filter = OrderFilter {
        customer_id: query.customer_id,
        subscription_id: query.subscription_id,
        kind: query.kind.clone(),
        confirmed_after: query.confirmed_after,
        confirmed_before: query.confirmed_before,
    };
    let page = orders::list(&permit.cx, &filter, &listing.window).await.map_err(in_query)?;
    Ok(listing.answer(page.map(OrderSummary::from), |data, next_cursor| OrderList { data, next_cursor }))
}

/// Get an order
///
/// Returns the order with all its lines and their calculations.
#[utoipa::path(tag = "Orders", responses((status = 200, description = "The order.", body = Order)))]
#[get("/orders/{order_id}")]
pub async fn get_order(permit: Permit<Read>, id: Id<OrderId>, _: NoQuery) -> Result<HttpResponse, Problem> {
    let order = orders::get(&permit.cx, id.0).await?;
    Ok(HttpResponse::Ok().json(Order::from(&order)))
}

/// List the lines of an order
///
/// Returns the lines of the order, in the same sequence as in the order itself.
#[utoipa::path(tag = "Orders", params(PageQuery), responses(
    (status = 200, description = "A page of lines.", body = OrderLineList)
))]
#[get("/orders/{order_id}/lines")]
pub async fn list_order_lines(
    permit: Permit<Read>,
    id: Id<OrderId>,
    listing: Listing<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let page = orders::lines(&permit.cx, id.0, &listing.window).await?;
    let page = page.map(|line| OrderLine::from(&line));
    Ok(listing.answer(page, |data, next_cursor| OrderLineList { data, next_cursor }))
}
