//! Random bodies: each is executed or rejected, and the service continues to work.

use crate::coverage::recipe;
use crate::support::random::{body, targets};
use crate::support::world::World;
use crate::support::{Database, Server, settings};

/// The number of bodies. `RANDOM_BODIES` sets another number, `RANDOM_SEED` another sequence.
const BODIES: u64 = 1500;

#[tokio::test(flavor = "multi_thread")]
async fn no_random_body_makes_the_service_fail() {
    #[allow(clippy::disallowed_methods, reason = "tests have no settings but these")]
    let asked = |name: &str| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let (bodies, seed) = (asked("RANDOM_BODIES").unwrap_or(BODIES), asked("RANDOM_SEED").unwrap_or(2027));
    let database = Database::create().await;
    let url = database.url.clone();
    let world = World::on(Server::on(database, &url, settings()).await).await;
    // Moving a clock by years takes long.
    let targets: Vec<_> = targets().into_iter().filter(|target| target.id != "moveSandboxClock").collect();
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut done, mut refused) = (0, 0);
    for number in 0..bodies {
        let target = &targets[rng.usize(..targets.len())];
        let body = body(&mut rng, target.schema);
        let id = recipe(target.id, &world).id.as_str().unwrap_or_default().to_owned();
        let path = target.path.split('/').map(|part| if part.starts_with('{') { &*id } else { part });
        let path = path.collect::<Vec<_>>().join("/");
        let answer = world.admin.send(target.method.parse().unwrap(), &path, Some(body.clone())).await;
        assert!(
            answer.status < 500,
            "{number} of seed {seed}: {path} {}: {}",
            String::from_utf8_lossy(&body),
            answer.body
        );
        *if answer.status < 300 { &mut done } else { &mut refused } += 1;
    }
    assert!(done > bodies / 50 && refused > bodies / 4, "{done} accepted, {refused} rejected");
}
