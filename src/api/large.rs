//! Large pages and bodies wait for one another, so that small requests need not wait for them.

use actix_web::{HttpMessage, HttpRequest, web};
use tokio::sync::OwnedSemaphorePermit;

use crate::app::AppState;
use crate::ops::Context;

/// The turn of a large page or body; the next one's comes when it is dropped.
pub struct Turn(#[expect(dead_code, reason = "held until it is dropped")] Option<OwnedSemaphorePermit>);

/// Waits until it is the turn of a large page or body among those of its tenant. There is no turn to wait for where
/// nobody is known.
pub async fn turn(request: &HttpRequest) -> Turn {
    let scope = request.extensions().get::<Context>().map(|cx| cx.actor.scope);
    let state = request.app_data::<web::Data<AppState>>();
    let (Some(scope), Some(state)) = (scope, state) else { return Turn(None) };
    // It is never closed.
    let turn = state.budgets.large(scope).acquire_owned().await.ok();
    // Whoever has waited meanwhile comes first.
    tokio::task::yield_now().await;
    Turn(turn)
}
