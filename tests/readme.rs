//! The README is correct: its tour runs, and its tables match the code.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "helpers of tests may fail loudly")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::CommandFactory;
use partner_platform::api::code::ErrorCode;
use partner_platform::config::Cli;

fn readme() -> String {
    std::fs::read_to_string("README.md").unwrap()
}

#[test]
fn the_table_of_settings_is_what_help_says() {
    let command = Cli::command();
    let settings = command.get_arguments().filter(|arg| arg.get_env().is_some());
    let rows: Vec<_> = settings
        .map(|arg| {
            let default: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
            let default = if default.is_empty() { String::new() } else { format!("`{}`", default.join(" ")) };
            let (flag, env) = (arg.get_long().unwrap(), arg.get_env().unwrap().to_string_lossy());
            format!("| `--{flag}` | `{env}` | {default} | {} |", arg.get_help().unwrap())
        })
        .collect();
    assert_table("| flag |", &rows);
}

#[test]
fn the_table_of_errors_is_what_the_code_says() {
    let rows: Vec<_> = ErrorCode::ALL
        .iter()
        .map(|code| {
            let status = code.status().as_u16();
            format!("| `{}` | {status} | {} | {} |", code.as_str(), code.title(), code.next_step())
        })
        .collect();
    assert_table("| code |", &rows);
}

fn assert_table(header: &str, rows: &[String]) {
    let readme = readme();
    let lines = readme.lines().skip_while(|line| !line.starts_with(header)).skip(2);
    let found: Vec<_> = lines.take_while(|line| line.starts_with('|')).map(str::to_owned).collect();
    assert_eq!(found, rows, "the table should be:\n{}\n", rows.join("\n"));
}

#[test]
fn the_tour_runs_twice_on_one_database() {
    // PostgreSQL may have to run as another user, who needs access to the data directory.
    let folder = tempfile::Builder::new().prefix("partner-platform-tour").tempdir().unwrap();
    let service = Service::start(folder.path());
    let key = folder.path().join("data/admin-key");
    let receiver = free_port();
    let readme = readme()
        .replace("http://127.0.0.1:8080", &service.url)
        .replace("8099", &receiver.to_string())
        .replace("cargo run --quiet --", env!("CARGO_BIN_EXE_partner-platform"))
        .replace("~/.local/share/partner-platform/admin-key", &key.to_string_lossy());
    let tour = readme.split("## A tour").nth(1).unwrap().split("\n## ").next().unwrap();
    let blocks: Vec<_> = tour.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() > 8, "the tour has blocks");

    for run in ["the first run", "the second run"] {
        run_tour(&blocks, run);
    }
}

fn run_tour(blocks: &[&str], run: &str) {
    let script = blocks.join("\necho '=== end of block'\n");
    let output = Command::new("bash").args(["-u", "-c", &script]).env("LOG_LEVEL", "error").output().unwrap();
    assert!(output.stderr.is_empty(), "{run}: {}", String::from_utf8_lossy(&output.stderr));
    let output = String::from_utf8(output.stdout).unwrap();
    let outputs: Vec<_> = output.split("=== end of block").collect();
    assert_eq!(outputs.len(), blocks.len());
    for (block, output) in blocks.iter().zip(outputs) {
        let expected: Vec<_> = block.lines().filter_map(|line| line.strip_prefix("# → ")).collect();
        for text in &expected {
            assert!(output.contains(text), "{run}: expected {text} after\n{block}\nin\n{output}");
        }
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

struct Service {
    process: Child,
    url: String,
}

impl Service {
    fn start(folder: &Path) -> Self {
        let port = free_port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_partner-platform"));
        command
            .args(["serve", "--sandbox", "--webhook-allow-private", "127.0.0.0/8"])
            .args(["--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
            .arg(folder.join("data"));
        let process =
            command.env_remove("DATABASE_URL").env("LOG_LEVEL", "error").stdout(Stdio::null()).spawn().unwrap();
        let service = Self { process, url: format!("http://127.0.0.1:{port}") };
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(60), "the service starts");
            std::thread::sleep(Duration::from_millis(50));
        }
        service
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // The builtin of the shell, because a small machine has no such program.
        let _ = Command::new("sh").args(["-c", &format!("kill {}", self.process.id())]).status();
        let _ = self.process.wait();
    }
}
