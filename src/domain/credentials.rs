//! API keys, their secrets, and the credential of a request.

pub mod api_key;
pub mod credential;
pub mod secret;
