//! Runs the program, and sends HTTP requests to it.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::http::http;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// Settings that may be in the environment of the tests.
const SETTINGS: &[&str] = &[
    "ANSWER_TIMEOUT_MS",
    "CORS_ORIGINS",
    "DATABASE_URL",
    "DATA_DIR",
    "DEFAULT_CURRENCY",
    "DRAIN_DELAY_SECONDS",
    "ISSUER",
    "LISTEN",
    "LOG_FORMAT",
    "LOG_LEVEL",
    "MAX_CONNECTIONS",
    "MIGRATE_AT_START",
    "OIDC_ALGORITHMS",
    "OIDC_AUDIENCE",
    "OIDC_ISSUER",
    "OIDC_RESELLER_CLAIM",
    "OIDC_ROLE_CLAIM",
    "PRODUCTION",
    "RATE_LIMIT_READS",
    "RATE_LIMIT_WRITES",
    "SANDBOX",
    "SEND_TIMEOUT_MS",
    "WEBHOOK_ALLOW_PRIVATE",
    "WORKER",
    "WORKERS",
];

/// A command without the settings in the environment of the tests.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_partner-platform"));
    for setting in SETTINGS {
        command.env_remove(setting);
    }
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs a command until it ends.
pub async fn run(arguments: &[&str]) -> Output {
    run_with(arguments, &[]).await
}

/// Runs a command with settings from the environment until it ends.
pub async fn run_with(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let output = program(arguments).envs(environment.iter().copied()).output();
    tokio::time::timeout(PATIENCE, output).await.expect("the command ends in time").unwrap()
}

pub fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

pub fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// The standard output of a command that succeeds.
#[track_caller]
pub fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    stdout(output).to_owned()
}

/// The standard error of a command that fails with an error message. There is no other output.
#[track_caller]
pub fn fails(output: &Output) -> String {
    assert_eq!((output.status.code(), stdout(output)), (Some(1), ""), "{output:?}");
    let said = stderr(output).to_owned();
    assert!(said.contains("error: ") && !said.contains("panicked"), "{said}");
    said
}

/// A directory that is accessible for the account that PostgreSQL runs as.
pub fn folder() -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let mode = std::fs::Permissions::from_mode(0o755);
    tempfile::Builder::new().prefix("partner-platform-cli-").permissions(mode).tempdir_in(parent).unwrap()
}

/// A running service.
pub struct Service {
    child: Child,
    pub url: String,
    output: TempDir,
}

impl Service {
    pub async fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[]).await
    }

    /// Starts a service with settings from the environment.
    pub async fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let output = folder();
        let file = |name: &str| std::fs::File::create(output.path().join(name)).unwrap();
        let mut command = program(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(arguments).envs(environment.iter().copied());
        let child = command.stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap();
        let mut service = Self { child, url: String::new(), output };
        let started = tokio::time::timeout(PATIENCE, service.serving()).await;
        service.url = started.unwrap_or_else(|_| panic!("the service did not start: {}", service.stderr()));
        service
    }

    async fn serving(&mut self) -> String {
        loop {
            let log = self.stderr();
            if let Some(line) = log.lines().find(|line| line.contains("serving http://")) {
                let rest = line.split("serving ").nth(1).unwrap();
                return rest.split(',').next().unwrap().to_owned();
            }
            assert!(self.child.try_wait().unwrap().is_none(), "the service has ended: {log}");
            tokio::time::sleep(POLL).await;
        }
    }

    pub fn stdout(&self) -> String {
        std::fs::read_to_string(self.output.path().join("stdout")).unwrap()
    }

    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.output.path().join("stderr")).unwrap()
    }

    pub async fn get(&self, path: &str, key: &str) -> (StatusCode, Value) {
        let request = http().get(format!("{}{path}", self.url)).bearer_auth(key);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// The names of the customers that a key can see.
    pub async fn customers(&self, key: &str) -> Vec<String> {
        let (status, list) = self.get("/v1/customers?sort=company_name", key).await;
        assert_eq!(status, StatusCode::OK, "{list}");
        let data = list["data"].as_array().unwrap().iter();
        data.map(|customer| customer["company_name"].as_str().unwrap().to_owned()).collect()
    }

    /// Sends a signal, by name.
    pub async fn signal(&self, signal: &str) {
        assert!(kill(signal, self.child.id().unwrap()).await);
    }

    /// Waits until the service ends, and returns its exit code; `None` if a signal killed it.
    pub async fn ended(&mut self) -> Option<i32> {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("the service ends in time").unwrap().code()
    }

    /// Stops the service as a service manager does.
    pub async fn stop(mut self) {
        self.signal("TERM").await;
        assert_eq!(self.ended().await, Some(0), "{}", self.stderr());
    }
}

/// Sends a signal to a process, and returns whether the process exists. The signal `0` has no other effect.
pub async fn kill(signal: &str, pid: u32) -> bool {
    // The builtin of the shell, because a small machine has no such program.
    let mut kill = Command::new("sh");
    kill.args(["-c", &format!("kill -s {signal} {pid}")]).stderr(Stdio::null());
    kill.status().await.unwrap().success()
}

/// Waits until a process has ended.
pub async fn wait_until_gone(pid: u32) {
    let gone = async {
        while kill("0", pid).await {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the process ends in time");
}
