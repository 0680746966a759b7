//! The receiver for trying webhooks.

use crate::http::http;
use crate::program::run;

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_wants_a_secret_of_an_endpoint() {
    for secret in ["", "whsec_", "whsec_c2hvcnQ=", "ppk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"] {
        let output = run(&["webhooks", "listen", "--port", "0", "--secret", secret]).await;
        assert_eq!(output.status.code(), Some(2), "{secret}: {output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_nobody_signed_is_refused() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
    let listen =
        tokio::spawn(
            async move { run(&["webhooks", "listen", "--port", &port.to_string(), "--secret", secret]).await },
        );
    let send = || {
        let request = http().post(format!("http://127.0.0.1:{port}/")).header("webhook-id", "msg");
        request.header("webhook-timestamp", "1").header("webhook-signature", "v1,AAAA").body("{}").send()
    };
    let answer = loop {
        match send().await {
            Ok(answer) => break answer,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    };
    assert_eq!(answer.status(), 401);
    listen.abort();
}
