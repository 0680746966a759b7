//! Large pages and bodies are processed one after another, so that small requests do not wait for them.

use actix_web::{HttpMessage, HttpRequest, web};
use tokio::sync::OwnedSemaphorePermit;

use crate::api::state::AppState;
use crate::ops::Context;

/// Permission to process a large page or body. The next one starts when this is dropped.
pub struct Turn(#[expect(dead_code, reason = "held until it is dropped")] Option<OwnedSemaphorePermit>);

/// Waits until the tenant has no other large page or body in progress. Without a known caller, there is no wait.
pub async fn turn(request: &HttpRequest) -> Turn {
    let scope = request.extensions().get::<Context>().map(|cx| cx.actor.scope);
    let state = request.app_data::<web::Data<AppState>>();
    let (Some(scope), Some(state)) = (scope, state) else { return Turn(None) };
    // The semaphore is never closed.
    let turn = state.budgets.large(scope).acquire_owned().await.ok();
    // Let waiting tasks run first.
    tokio::task::yield_now().await;
    Turn(turn)
}
