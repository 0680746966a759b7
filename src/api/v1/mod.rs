//! The resources of the API, one file each: requests, responses and handlers.
//!
//! A field whose type is a component has no comment. The description of the component covers it, and utoipa would put a
//! second description beside the reference in a wrong place of the document.
#![allow(missing_docs, reason = "see above")]

pub mod allocations;
pub mod api_keys;
pub mod audit_entries;
pub mod baskets;
pub mod billing;
pub mod charges;
pub mod company;
pub mod customers;
pub mod events;
pub mod idempotency_keys;

pub mod inventory;
pub mod invoice_document;
pub mod invoices;
pub mod money;
pub mod orders;
pub mod price_lists;
pub mod products;
pub mod quote;
pub mod renewal_failures;
pub mod renewals;
pub mod reports;
pub mod resellers;
pub mod sandbox;
mod shown;
pub mod subscriptions;
pub mod upcoming_charges;
pub mod webhook_deliveries;
pub mod webhook_endpoints;
pub mod webhook_secrets;

use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::domain::text::Reason;

/// All routes under `/v1`. A route is served and documented only if it is in this list.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(resellers::list_resellers)
        .service(resellers::create_reseller)
        .service(resellers::get_reseller)
        .service(resellers::update_reseller)
        .service(resellers::disable_reseller)
        .service(resellers::enable_reseller)
        .service(customers::list_customers)
        .service(customers::create_customer)
        .service(customers::get_customer)
        .service(customers::update_customer)
        .service(customers::archive_customer)
        .service(customers::restore_customer)
        .service(products::list_available_products)
        .service(products::list_products)
        .service(products::create_product)
        .service(products::get_product)
        .service(products::update_product)
        .service(price_lists::list_price_lists)
        .service(price_lists::create_price_list)
        .service(price_lists::get_price_list)
        .service(price_lists::update_price_list)
        .service(price_lists::delete_price_list)
        .service(subscriptions::list_subscriptions)
        .service(subscriptions::list_customer_subscriptions)
        .service(baskets::preview_add_subscriptions)
        .service(baskets::add_subscriptions)
        .service(subscriptions::get_subscription)
        .service(subscriptions::update_subscription)
        .service(subscriptions::suspend_subscription)
        .service(subscriptions::enable_subscription)
        .service(subscriptions::cancel_subscription)
        .service(subscriptions::list_subscription_terms)
        .service(renewals::preview_renew_subscription)
        .service(renewals::renew_subscription)
        .service(renewal_failures::list_renewal_failures)
        .service(inventory::get_inventory)
        .service(inventory::preview_current_inventory)
        .service(inventory::add_current_inventory)
        .service(inventory::preview_renewal_inventory)
        .service(inventory::set_renewal_inventory)
        .service(inventory::set_inventory_thresholds)
        .service(inventory::list_inventory_ledger)
        .service(audit_entries::list_audit_entries)
        .service(events::list_events)
        .service(idempotency_keys::get_idempotency_key)
        .service(allocations::list_allocations)
        .service(allocations::allocate)
        .service(allocations::get_allocation)
        .service(allocations::release_allocation)
        .service(orders::list_orders)
        .service(orders::get_order)
        .service(orders::list_order_lines)
        .service(charges::list_charges)
        .service(upcoming_charges::list_upcoming_charges)
        .service(upcoming_charges::list_customer_upcoming_charges)
        .service(invoices::list_invoices)
        .service(billing::run_invoices)
        .service(invoices::get_invoice)
        .service(invoice_document::get_invoice_document)
        .service(invoices::mark_invoice_emailed)
        .service(invoices::mark_invoice_paid)
        .service(invoices::void_invoice)
        .service(reports::subscriptions::report_subscriptions)
        .service(reports::transactions::report_transactions)
        .service(reports::usage::report_usage)
        .service(webhook_endpoints::list_webhook_endpoints)
        .service(webhook_endpoints::create_webhook_endpoint)
        .service(webhook_endpoints::get_webhook_endpoint)
        .service(webhook_endpoints::update_webhook_endpoint)
        .service(webhook_endpoints::delete_webhook_endpoint)
        .service(webhook_endpoints::enable_webhook_endpoint)
        .service(webhook_endpoints::disable_webhook_endpoint)
        .service(webhook_secrets::rotate_webhook_endpoint_secret)
        .service(webhook_deliveries::test_webhook_endpoint)
        .service(webhook_deliveries::list_webhook_deliveries)
        .service(webhook_deliveries::redeliver_webhook_delivery)
        .service(api_keys::list_api_keys)
        .service(api_keys::create_api_key)
        .service(api_keys::get_api_key)
        .service(api_keys::update_api_key)
        .service(api_keys::rotate_api_key)
        .service(api_keys::revoke_api_key)
        .service(sandbox::get_sandbox_clock)
        .service(sandbox::move_sandbox_clock);
}

/// The reason for an action. The body can be omitted.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "reason": "Invoice overdue" }))]
pub struct ActionRequest {
    /// The reason in your words, for people who read it later.
    #[schema(nullable = false)]
    pub reason: Option<Reason>,
}

/// Distinguishes an omitted field (`None`) from null (`Some(None)`).
pub fn clearable<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}
