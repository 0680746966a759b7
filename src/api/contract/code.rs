//! The error codes: each with its status, when it happens and what to do, in one table.

use actix_web::http::StatusCode;

macro_rules! codes {
    ($($code:ident = $text:tt, $status:ident, $title:literal, $next:literal;)+) => {
        /// What went wrong, stable for programs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
        pub enum ErrorCode {
            $(#[doc = $title] #[serde(rename = $text)] $code,)+
        }

        impl ErrorCode {
            /// Every code, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$code,)+];

            /// The code as it is sent.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$code => $text,)+ }
            }

            /// The status that it comes with.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Self::$code => StatusCode::$status,)+ }
            }

            /// When it happens.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$code => $title,)+ }
            }

            /// What to do next.
            #[must_use]
            pub fn next_step(self) -> &'static str {
                match self { $(Self::$code => $next,)+ }
            }
        }
    };
}

codes! {
    MalformedRequest = "malformed_request", BAD_REQUEST,
        "The body is not JSON, or an id in the path is not a UUID",
        "Correct the request, then send it again.";
    CursorInvalid = "cursor_invalid", BAD_REQUEST,
        "The cursor is not one that a list has returned",
        "Start again without a cursor.";
    Unauthenticated = "unauthenticated", UNAUTHORIZED,
        "The API key or token is missing, unknown, revoked or expired",
        "Send `Authorization: Bearer <key>` with a valid key or token.";
    Forbidden = "forbidden", FORBIDDEN,
        "The key's role does not have the right",
        "Use a key with one of the roles that the detail names.";
    ResellerDisabled = "reseller_disabled", FORBIDDEN,
        "The reseller is disabled: its keys are rejected, and it cannot get customers",
        "Ask the provider to enable it, or choose another reseller.";
    CorsRefused = "cors_refused", FORBIDDEN,
        "The origin of the web page is not allowed, or the page may not send this request",
        "Send only what the detail names, or ask the operator to allow the origin.";
    NotFound = "not_found", NOT_FOUND,
        "The resource does not exist, or it belongs to another tenant",
        "Check the id and which key you use.";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED,
        "The path exists, but not with this method",
        "Use a method from the `Allow` header.";
    NotAcceptable = "not_acceptable", NOT_ACCEPTABLE,
        "The `Accept` header excludes every media type of the response",
        "Accept one of the media types that the detail names.";
    InvalidTransition = "invalid_transition", CONFLICT,
        "The state does not allow the action",
        "See `actions` for what is allowed now.";
    SubscriptionSuspended = "subscription_suspended", CONFLICT,
        "The subscription is suspended",
        "Enable it first.";
    TermEnded = "term_ended", CONFLICT,
        "The term has ended",
        "Renew the subscription.";
    NothingToRenew = "nothing_to_renew", CONFLICT,
        "Every renewal quantity is 0",
        "Set the renewal inventory first.";
    CustomerArchived = "customer_archived", CONFLICT,
        "The customer is archived",
        "Restore it first.";
    HasOpenSubscriptions = "has_open_subscriptions", CONFLICT,
        "The customer has pending, active or suspended subscriptions",
        "Cancel them, or wait until they end.";
    ProductRetired = "product_retired", CONFLICT,
        "The product can no longer be subscribed to",
        "Choose one of the available products.";
    CertificateTypeInUse = "certificate_type_in_use", CONFLICT,
        "Subscriptions have certificates of a type that the product would lose",
        "Keep the type.";
    PriceListInUse = "price_list_in_use", CONFLICT,
        "The price list is assigned, or orders or terms refer to it",
        "Assign another list where it is in use, and keep this one.";
    InventoryExhausted = "inventory_exhausted", CONFLICT,
        "Fewer certificates are available than requested",
        "Release some, or raise the current inventory.";
    CurrencyFixed = "currency_fixed", CONFLICT,
        "The customer has orders in its currency",
        "Create another customer for another currency.";
    DuplicateExternalId = "duplicate_external_id", CONFLICT,
        "The external id is already used",
        "Find the other resource by its external id, or choose another external id.";
    DuplicateCode = "duplicate_code", CONFLICT,
        "The product code is already used",
        "Choose another code.";
    DuplicateReference = "duplicate_reference", CONFLICT,
        "An open allocation has the reference with another type or quantity",
        "Choose another reference, or release that allocation.";
    IdempotencyInProgress = "idempotency_in_progress", CONFLICT,
        "A request with this `Idempotency-Key` is still being processed",
        "Retry after `Retry-After` seconds.";
    TooManyWebhookEndpoints = "too_many_webhook_endpoints", CONFLICT,
        "The tenant already has the maximum number of webhook endpoints",
        "Delete one, or subscribe an existing one to more event types.";
    TooManyApiKeys = "too_many_api_keys", CONFLICT,
        "The tenant already has the maximum number of live API keys",
        "Revoke a key that is no longer used, then retry.";
    QuoteStale = "quote_stale", CONFLICT,
        "Something has changed since the quote",
        "Review `quote`, then confirm its digest.";
    VersionMismatch = "version_mismatch", PRECONDITION_FAILED,
        "The resource has another version than `If-Match` says",
        "Read it again, then decide anew.";
    PayloadTooLarge = "payload_too_large", PAYLOAD_TOO_LARGE,
        "The body is larger than 1 MiB",
        "Send less in one request.";
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE,
        "The body is not declared as JSON",
        "Send `Content-Type: application/json`.";
    ValidationFailed = "validation_failed", UNPROCESSABLE_ENTITY,
        "The request is well-formed but not valid",
        "Correct everything in `errors`.";
    CursorMismatch = "cursor_mismatch", UNPROCESSABLE_ENTITY,
        "The cursor belongs to other filters or another sort",
        "Repeat the filters of the previous page, or start again without a cursor.";
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY,
        "The `Idempotency-Key` was used for another request",
        "Send that request unchanged, or use another key.";
    AmountOutOfRange = "amount_out_of_range", UNPROCESSABLE_ENTITY,
        "An amount exceeds what can be billed",
        "Order smaller quantities.";
    RateLimited = "rate_limited", TOO_MANY_REQUESTS,
        "Too many requests were sent this minute",
        "Retry after `Retry-After` seconds.";
    TooManyConcurrentRequests = "too_many_concurrent_requests", TOO_MANY_REQUESTS,
        "Too many requests are in progress",
        "Wait until some of them end, then retry.";
    Internal = "internal", INTERNAL_SERVER_ERROR,
        "The service failed",
        "Retry. If the error persists, report the request id.";
    Unavailable = "unavailable", SERVICE_UNAVAILABLE,
        "The service cannot respond now",
        "Retry after `Retry-After` seconds.";
}
