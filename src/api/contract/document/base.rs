//! What the document says of the API as a whole: the description, and the tags with their guides.

use utoipa::OpenApi;

use crate::api::contract::problem::Problem;
use crate::api::v1::reports::subscriptions::SubscriptionReportColumn;
use crate::api::v1::reports::transactions::TransactionReportColumn;
use crate::api::v1::reports::usage::UsageReportColumn;
use crate::domain::parties::company::CompanySort;
use crate::domain::subscription::SubscriptionSort;
use crate::domain::text::SearchText;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Partner platform",
        description = include_str!("../description.md"),
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
        contact(name = "Partner platform", url = "https://example.com/support")
    ),
    components(schemas(
        Problem,
        CompanySort,
        SubscriptionSort,
        SearchText,
        SubscriptionReportColumn,
        TransactionReportColumn,
        UsageReportColumn
    )),
    tags(
        (
            name = "Customers",
            description = "Companies that hold subscriptions, managed by the provider or by a reseller. See the [quick start](/docs/guides/quick-start#create-a-customer)."
        ),
        (
            name = "Resellers",
            description = "Companies that sell for the provider. See the [quick start](/docs/guides/quick-start#disable-and-enable-a-reseller)."
        ),
        (
            name = "Products",
            description = "What can be subscribed to, for how long, at what price. See the [quick start](/docs/guides/quick-start#agree-on-other-prices)."
        ),
        (
            name = "Subscriptions",
            description = "Subscriptions of customers, with their terms and states. See the [quick start](/docs/guides/quick-start#preview-and-confirm)."
        ),
        (
            name = "Inventory",
            description = "The certificates of a subscription, now and after its renewal. See the [quick start](/docs/guides/quick-start#raise-the-current-inventory)."
        ),
        (
            name = "Allocations",
            description = "Certificates in use. See the [quick start](/docs/guides/quick-start#use-certificates)."
        ),
        (
            name = "Orders",
            description = "Confirmed changes, and what they cost. See the [guide to money](/docs/guides/money)."
        ),
        (
            name = "Invoices",
            description = "Invoices of due charges. See the [guide to money](/docs/guides/money#invoices)."
        ),
        (
            name = "Reports",
            description = "Flat rows over all of these, for other programs and for spreadsheets. See the [guide to reports](/docs/guides/reports)."
        ),
        (
            name = "Events",
            description = "Every change, in a feed. See the [guide to events](/docs/guides/events)."
        ),
        (
            name = "Webhooks",
            description = "URLs that events are delivered to, and the deliveries. See the [guide to webhooks](/docs/guides/webhooks)."
        ),
        (
            name = "Trust",
            description = "The audit trail, and what became of a request whose response was lost. See the [guide to retries](/docs/guides/retries)."
        ),
        (
            name = "API keys",
            description = "Keys with a role, of the provider or of a reseller. See the [guide to keys and tokens](/docs/guides/keys-and-tokens)."
        ),
        (
            name = "Sandbox",
            description = "A clock that can be moved, if the service runs with `--sandbox`. See the [guide to time](/docs/guides/time#try-a-year)."
        ),
        (name = "Service", description = "The service itself. Needs no key."),
    ),
    servers((url = "/", description = "The server that the document comes from"))
)]
pub(super) struct Base;
