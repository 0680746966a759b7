//! The audit trail on the command line.

use std::time::Duration;

use crate::database::{self, Database};
use crate::program::{Service, fails, run_with, succeeds};

#[tokio::test(flavor = "multi_thread")]
async fn what_the_command_line_does_is_in_the_trail_and_who_alters_that_is_found() {
    let database = Database::create().await;
    let on = [("DATABASE_URL", &*database.url)];
    let key = succeeds(&run_with(&["keys", "create", "--role", "admin"], &on).await).trim().to_owned();
    succeeds(&run_with(&["keys", "create", "--role", "sales"], &on).await);
    let verified = succeeds(&run_with(&["audit", "verify"], &on).await);
    assert_eq!(
        verified,
        "0 entries are unchanged since they were sealed; the trail ends at\n0:\n2 more are not sealed yet\n"
    );

    let service = Service::start(&["--database-url", &database.url]).await;
    let (_, list) = service.get("/v1/audit-entries?actor=system&operation=createApiKey", &key).await;
    assert_eq!(list["data"].as_array().unwrap().len(), 2, "{list}");
    let end = loop {
        let verified = succeeds(&run_with(&["audit", "verify"], &on).await);
        if verified.starts_with("2 entries") {
            break verified.lines().nth(1).unwrap().to_owned();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    service.stop().await;
    for known in ["0:", &end] {
        succeeds(&run_with(&["audit", "verify", "--expect", known], &on).await);
    }
    let other = format!("2:{}", "0".repeat(64));
    let said = fails(&run_with(&["audit", "verify", "--expect", &other], &on).await);
    assert!(said.contains("entry 2") && said.contains("sealed again"), "{said}");
    let further = format!("3:{}", "0".repeat(64));
    let said = fails(&run_with(&["audit", "verify", "--expect", &further], &on).await);
    assert!(said.contains("ends at entry 2") && said.contains("were removed"), "{said}");

    let hand = database::connect(&database).await;
    hand.batch_execute("ALTER TABLE audit_entries DISABLE TRIGGER USER; UPDATE audit_entries SET role = 'sales'")
        .await
        .unwrap();
    let said = fails(&run_with(&["audit", "verify"], &on).await);
    assert!(said.contains("entry 1") && said.contains("altered"), "{said}");
    let wrong = run_with(&["audit", "verify", "--expect", "2:xyz"], &on).await;
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
}
