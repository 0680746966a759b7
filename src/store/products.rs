//! Products. They belong to the provider, and are visible to every key.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::columns::Json;
use super::filters::one_of;
use super::page::{self, fetch, keyset};
use super::run::{Statement, Write};
use super::schema::{inventory_lines, products, subscriptions};
use super::{Conn, Result};
use crate::domain::catalog::product::{CertificateType, Details, Price, Product, ProductFilter, ProductStatus};
use crate::domain::id::{ProductId, Version};
use crate::domain::listing::{Page, Position, SortValue, Window};
use crate::domain::money::Currency;
use crate::domain::text::{Code, Description, Line, sort_key};

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = products, treat_none_as_default_value = false, treat_none_as_null = true, check_for_backend(diesel::pg::Pg))]
struct Row {
    id: ProductId,
    code: Code,
    name: Line,
    name_key: String,
    name_key_version: i16,
    description: Option<Description>,
    status: ProductStatus,
    certificate_types: Json<Vec<CertificateType>>,
    terms: Json<Vec<i32>>,
    prices: Json<Vec<Price>>,
    version: Version,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<&Product> for Row {
    fn from(product: &Product) -> Self {
        let details = product.details.clone();
        Self {
            id: product.id,
            code: product.code.clone(),
            name_key: sort_key::of(details.name.as_str()),
            name_key_version: sort_key::VERSION,
            name: details.name,
            description: details.description,
            status: details.status,
            certificate_types: Json(details.certificate_types),
            terms: Json(details.terms),
            prices: Json(details.prices),
            version: product.version,
            created_at: product.created_at,
            updated_at: product.updated_at,
        }
    }
}

impl From<Row> for Product {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            code: row.code,
            details: Details {
                name: row.name,
                description: row.description,
                status: row.status,
                certificate_types: row.certificate_types.0,
                terms: row.terms.0,
                prices: row.prices.0,
            },
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

pub async fn find(mut conn: &Conn, id: ProductId) -> Result<Option<Product>> {
    let row = products::table.find(id).select(Row::as_select()).first(&mut conn).await.optional()?;
    Ok(row.map(Product::from))
}

/// Returns the products that exist, and locks them for share until the transaction ends. Others may read and sell them
/// meanwhile.
pub async fn hold(mut conn: &Conn, ids: &[ProductId]) -> Result<Vec<Product>> {
    let rows: Vec<Row> = match ids {
        [one] => {
            products::table.filter(products::id.eq(one)).select(Row::as_select()).for_share().load(&mut conn).await?
        }
        several => {
            let query = products::table.filter(products::id.eq_any(several)).order(products::id);
            query.select(Row::as_select()).for_share().load(&mut conn).await?
        }
    };
    Ok(rows.into_iter().map(Product::from).collect())
}

/// Returns the products that exist.
pub async fn find_all(mut conn: &Conn, ids: &[ProductId]) -> Result<Vec<Product>> {
    let query = products::table.order(products::id).select(Row::as_select()).into_boxed();
    let query = match ids {
        [one] => query.filter(products::id.eq(one)),
        several => query.filter(products::id.eq_any(several)),
    };
    let rows: Vec<Row> = query.load(&mut conn).await?;
    Ok(rows.into_iter().map(Product::from).collect())
}

/// Returns a product, and locks it until the transaction ends: others cannot change or sell it.
pub async fn lock(mut conn: &Conn, id: ProductId) -> Result<Option<Product>> {
    let row = products::table.find(id).select(Row::as_select()).for_update().first(&mut conn).await.optional()?;
    Ok(row.map(Product::from))
}

/// The certificate types of a product that subscriptions have. Lock the product first, so that this cannot change.
pub async fn held_types(mut conn: &Conn, id: ProductId) -> Result<BTreeSet<Code>> {
    let codes: Vec<Code> = inventory_lines::table
        .filter(
            inventory_lines::subscription_id
                .eq_any(subscriptions::table.filter(subscriptions::product_id.eq(id)).select(subscriptions::id)),
        )
        .select(inventory_lines::certificate_type)
        .distinct()
        .load(&mut conn)
        .await?;
    Ok(codes.into_iter().collect())
}

/// Lists products, ordered by code. With `sold_in`, lists only products that can currently be sold in that currency.
pub async fn list(
    mut conn: &Conn,
    filter: &ProductFilter,
    sold_in: Option<Currency>,
    window: &Window,
) -> Result<Page<Product>> {
    let mut query = products::table.select(Row::as_select()).into_boxed();
    if let Some(q) = &filter.q {
        query = query.filter(products::name_key.like(page::containing(q.as_str())));
    }
    query = one_of!(query, products::status, filter.status);
    if let Some(currency) = sold_in {
        let price = serde_json::json!([{ "currency": currency }]);
        query = query.filter(products::status.eq(ProductStatus::Active)).filter(products::prices.contains(price));
    }
    let query = keyset!(query, products::code, products::id, window, page::text_after(window), ascending);
    let rows: Vec<Row> = fetch!(conn, query, window, *filter != ProductFilter::default() || sold_in.is_some());
    let page = Page::cut(rows, window.limit, |row| Position {
        value: SortValue::Text(row.code.as_str().to_owned()),
        id: row.id.0,
    });
    Ok(page.map(Product::from))
}

/// Inserts a product.
#[must_use]
pub fn insert(product: &Product) -> Write {
    diesel::insert_into(products::table).values(Row::from(product)).later()
}

/// Updates a product that was locked.
#[must_use]
pub fn save(product: &Product) -> Write {
    diesel::update(products::table.find(product.id)).set(Row::from(product)).later()
}
