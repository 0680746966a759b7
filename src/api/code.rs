//! The error codes. One table lists the status, the title and the next step of each.

use actix_web::http::StatusCode;

macro_rules! codes {
    ($($code:ident = $text:tt, $status:ident, $title:literal, $next:literal;)+) => {
        /// A stable error code for programs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
        pub enum ErrorCode {
            $(#[doc = $title] #[serde(rename = $text)] $code,)+
        }

        impl ErrorCode {
            /// All codes, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$code,)+];

            /// The code in responses.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$code => $text,)+ }
            }

            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Self::$code => StatusCode::$status,)+ }
            }

            /// When the error occurs.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$code => $title,)+ }
            }

            /// What the client should do next.
            #[must_use]
            pub fn next_step(self) -> &'static str {
                match self { $(Self::$code => $next,)+ }
            }
        }
    };
}

codes! {
    MalformedRequest = "malformed_request", BAD_REQUEST,
        "The request is malformed: for example, the body is not JSON, or an id in the path is not a UUID",
        "Correct the syntax of the request.";
    CursorInvalid = "cursor_invalid", BAD_REQUEST,
        "The cursor was not issued by this service", "Start again without a cursor.";
    Unauthenticated = "unauthenticated", UNAUTHORIZED,
        "The API key or token is missing, unknown, revoked or expired",
        "Send `Authorization: Bearer <key>` with a valid key or token.";
    Forbidden = "forbidden", FORBIDDEN,
        "The role of the key or token does not have the required right",
        "Use a key with one of the roles listed in `detail`.";
    ResellerDisabled = "reseller_disabled", FORBIDDEN,
        "The reseller is disabled: its keys are rejected and it cannot take new customers",
        "Ask the provider to enable the reseller, or choose another reseller.";
    CorsRefused = "cors_refused", FORBIDDEN,
        "The origin of the web page, its method or its headers are not allowed",
        "Use what `detail` allows, or ask the operator to add the page's origin to `CORS_ORIGINS`.";
    NotFound = "not_found", NOT_FOUND,
        "The resource does not exist, or it belongs to another tenant", "Check the id and the API key.";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED,
        "The path does not support the method", "Use one of the methods in the `Allow` header.";
    NotAcceptable = "not_acceptable", NOT_ACCEPTABLE,
        "The `Accept` header excludes every media type of the response",
        "Accept one of the media types listed in `detail`.";
    InvalidTransition = "invalid_transition", CONFLICT,
        "The state of the resource does not allow the action", "See `actions` for the allowed actions.";
    SubscriptionSuspended = "subscription_suspended", CONFLICT,
        "The subscription is suspended", "Enable the subscription first.";
    TermEnded = "term_ended", CONFLICT,
        "The term has ended", "Renew the subscription.";
    NothingToRenew = "nothing_to_renew", CONFLICT,
        "Every renewal quantity is 0", "Set the renewal inventory first.";
    CustomerArchived = "customer_archived", CONFLICT,
        "The customer is archived", "Restore the customer first.";
    HasOpenSubscriptions = "has_open_subscriptions", CONFLICT,
        "The customer has pending, active or suspended subscriptions",
        "Cancel the subscriptions, or wait until they end.";
    ProductRetired = "product_retired", CONFLICT,
        "The product is retired: new subscriptions to it are not possible", "Choose one of the available products.";
    CertificateTypeInUse = "certificate_type_in_use", CONFLICT,
        "Subscriptions hold certificates of a type that the request removes", "Keep the certificate type.";
    PriceListInUse = "price_list_in_use", CONFLICT,
        "The price list is assigned, or orders or terms refer to it",
        "Do not delete the list. Assign another list instead.";
    InventoryExhausted = "inventory_exhausted", CONFLICT,
        "Fewer certificates are available than requested", "Release certificates, or add to the current inventory.";
    CurrencyFixed = "currency_fixed", CONFLICT,
        "The customer has orders, so its currency cannot change", "Create another customer for the other currency.";
    DuplicateExternalId = "duplicate_external_id", CONFLICT,
        "The external id is already in use", "Use another external id, or find the existing resource by it.";
    DuplicateCode = "duplicate_code", CONFLICT,
        "The product code is already in use", "Choose another code.";
    DuplicateReference = "duplicate_reference", CONFLICT,
        "An open allocation of another type or quantity uses the same reference",
        "Choose another reference, or release that allocation.";
    IdempotencyInProgress = "idempotency_in_progress", CONFLICT,
        "A request with the same `Idempotency-Key` is still in progress", "Retry after `Retry-After` seconds.";
    TooManyWebhookEndpoints = "too_many_webhook_endpoints", CONFLICT,
        "The tenant has the maximum number of webhook endpoints",
        "Delete one, or subscribe an existing one to more event types.";
    TooManyApiKeys = "too_many_api_keys", CONFLICT,
        "The tenant has the maximum number of live API keys", "Revoke a key that is no longer used, then retry.";
    QuoteStale = "quote_stale", CONFLICT,
        "The data behind the quote has changed", "Review the new `quote` and confirm its digest.";
    VersionMismatch = "version_mismatch", PRECONDITION_FAILED,
        "The version of the resource differs from `If-Match`", "Read the resource again, then decide again.";
    PayloadTooLarge = "payload_too_large", PAYLOAD_TOO_LARGE,
        "The body is larger than 1 MiB", "Split the request into smaller ones.";
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE,
        "The body is not declared as JSON", "Send `Content-Type: application/json`.";
    ValidationFailed = "validation_failed", UNPROCESSABLE_ENTITY,
        "The request is well-formed but not valid", "Correct all problems in `errors`.";
    CursorMismatch = "cursor_mismatch", UNPROCESSABLE_ENTITY,
        "The cursor belongs to other filters or another sort order",
        "Repeat the filters of the previous page, or start again without a cursor.";
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY,
        "The `Idempotency-Key` was used for another request", "Send the original request unchanged, or use a new key.";
    AmountOutOfRange = "amount_out_of_range", UNPROCESSABLE_ENTITY,
        "An amount exceeds the billable maximum", "Order smaller quantities.";
    RateLimited = "rate_limited", TOO_MANY_REQUESTS,
        "Too many requests were sent this minute", "Retry after `Retry-After` seconds.";
    TooManyConcurrentRequests = "too_many_concurrent_requests", TOO_MANY_REQUESTS,
        "Too many requests are in progress at the same time", "Wait until some of them finish, then retry.";
    Internal = "internal", INTERNAL_SERVER_ERROR,
        "An internal error occurred", "Retry. If the error persists, report the request id.";
    Unavailable = "unavailable", SERVICE_UNAVAILABLE,
        "The service is temporarily unavailable", "Retry after `Retry-After` seconds.";
}
