//! The documentation keeps its word: every snippet runs, every table is what the code says, every link leads somewhere,
//! and the guides are served.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "helpers of tests may fail loudly")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::CommandFactory;
use partner_platform::api::contract::code::ErrorCode;
use partner_platform::api::contract::document::DOCUMENT;
use partner_platform::api::docs::guides::GUIDES;
use partner_platform::config::Cli;
use partner_platform::domain::money::{CURRENCY_PATTERN, Currency};

/// The documents for people, whose links are checked.
const DOCUMENTS: [&str; 7] = [
    "README.md",
    "src/README.md",
    "migrations/README.md",
    "tests/README.md",
    "CHANGELOG.md",
    ".github/CONTRIBUTING.md",
    ".github/SECURITY.md",
];

/// How many settings the README explains; `serve --help` has all of them.
const SETTINGS: usize = 10;

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn guide(name: &str) -> &'static str {
    GUIDES.iter().find(|guide| guide.name == name).unwrap().markdown
}

/// The rows of the table with a header.
fn table<'a>(text: &'a str, header: &str) -> Vec<&'a str> {
    let lines = text.lines().skip_while(|line| !line.starts_with(header)).skip(2);
    lines.take_while(|line| line.starts_with('|')).collect()
}

#[test]
fn the_settings_of_the_readme_are_what_help_says() {
    let command = Cli::command();
    let settings = command.get_arguments().filter(|arg| arg.get_env().is_some());
    let all: Vec<_> = settings
        .map(|arg| {
            let default: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
            let default = if default.is_empty() { String::new() } else { format!("`{}`", default.join(" ")) };
            let (flag, env) = (arg.get_long().unwrap(), arg.get_env().unwrap().to_string_lossy());
            format!("| `--{flag}` | `{env}` | {default} | {} |", arg.get_help().unwrap())
        })
        .collect();
    let readme = read("README.md");
    let rows = table(&readme, "| flag |");
    let known: Vec<_> = all.iter().map(String::as_str).filter(|row| rows.contains(row)).collect();
    assert_eq!(known, rows, "these are the settings, in this order:\n{}\n", all.join("\n"));
    assert_eq!(rows.len(), SETTINGS);
}

#[test]
fn every_setting_is_in_a_group() {
    for arg in Cli::command().get_arguments().filter(|arg| arg.get_env().is_some()) {
        assert!(arg.get_help_heading().is_some(), "{} has a help_heading", arg.get_id());
    }
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
    assert_eq!(table(guide("errors"), "| code |"), rows, "the table should be:\n{}\n", rows.join("\n"));
}

#[test]
fn the_digits_of_currencies_are_what_the_code_says() {
    let codes = CURRENCY_PATTERN.trim_start_matches("^(").trim_end_matches(")$").split('|');
    let currencies: Vec<Currency> =
        codes.map(|code| code.parse().unwrap()).filter(|it: &Currency| it.is_in_use()).collect();
    let with = |digits| -> Vec<_> {
        currencies.iter().filter(|currency| currency.minor_digits() == digits).map(|currency| currency.code()).collect()
    };
    let kinds: BTreeSet<_> = currencies.iter().map(|currency| currency.minor_digits()).filter(|it| *it != 2).collect();
    let mut rows: Vec<_> = kinds.into_iter().map(|it| format!("| {it} | {} |", with(it).join(", "))).collect();
    rows.push("| 2 | all others |".to_owned());
    assert_eq!(table(guide("money"), "| minor digits |"), rows);
}

#[test]
fn every_path_in_the_guides_is_one_of_the_document() {
    for guide in GUIDES {
        let mentioned = guide.markdown.match_indices("/v1/").map(|(at, _)| &guide.markdown[at..]);
        let paths = mentioned.map(|rest| rest.split([' ', '`', '?', '"', '\n']).next().unwrap());
        for path in paths.filter(|path| !path.contains('%')) {
            let exists = DOCUMENT.operations.iter().any(|operation| operation.path == path);
            assert!(exists, "{}.md names {path}", guide.name);
        }
    }
}

/// The targets of the links in a text, without those in code.
fn links(markdown: &str) -> Vec<&str> {
    let prose = markdown.split("```").step_by(2);
    prose.flat_map(|prose| prose.split("](").skip(1)).map(|rest| rest.split(')').next().unwrap()).collect()
}

/// The fragments of the headings of a text, as GitHub makes them.
fn anchors(markdown: &str) -> Vec<String> {
    let headings = markdown.split("```").step_by(2).flat_map(str::lines).filter(|line| line.starts_with('#'));
    let titles = headings.map(|line| line.trim_start_matches('#').trim().to_lowercase());
    let anchor =
        |title: String| title.chars().filter(|it| it.is_alphanumeric() || " -_".contains(*it)).collect::<String>();
    titles.map(|title| anchor(title).replace(' ', "-")).collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let guides = GUIDES.iter().map(|guide| format!("openapi/guides/{}.md", guide.name));
    for path in DOCUMENTS.map(str::to_owned).into_iter().chain(guides) {
        let text = read(&path);
        for link in links(&text).into_iter().filter(|link| !link.starts_with("http")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                path.clone()
            } else {
                format!("{}/{file}", Path::new(&path).parent().unwrap().display())
            };
            let target = target.trim_start_matches('/');
            assert!(Path::new(target).exists(), "{path} links to {link}");
            assert!(anchor.is_empty() || anchors(&read(target)).contains(&anchor.to_owned()), "{path} links to {link}");
        }
    }
}

#[test]
fn the_document_links_to_guides_that_there_are() {
    let description = DOCUMENT.value["info"]["description"].as_str().unwrap();
    let tags = DOCUMENT.value["tags"].as_array().unwrap();
    let of_tags = tags.iter().filter_map(|tag| tag["description"].as_str()).flat_map(links);
    let all: Vec<_> = links(description).into_iter().chain(of_tags).collect();
    for link in &all {
        let name = link.strip_prefix("/docs/guides/").unwrap_or_else(|| panic!("{link} is below /docs/guides/"));
        let (name, anchor) = name.split_once('#').unwrap_or((name, ""));
        if !name.is_empty() {
            let guide = GUIDES.iter().find(|guide| guide.name == name).unwrap_or_else(|| panic!("{link} is a guide"));
            assert!(guide.page().into_string().contains(&format!("id=\"{anchor}\"")) || anchor.is_empty(), "{link}");
        }
    }
    for guide in GUIDES {
        assert!(all.contains(&&*format!("/docs/guides/{}", guide.name)), "the description links to {}", guide.name);
    }
}

#[test]
fn a_guide_becomes_a_page_without_inline_styles_and_scripts() {
    for guide in GUIDES {
        let page = guide.page().into_string();
        assert!(
            page.starts_with("<!DOCTYPE html>") && page.contains(&format!("<h1 id=\"{}\"", anchors(guide.markdown)[0]))
        );
        for forbidden in ["<style", "style=", "<script", "onload", ".md\"", ".md#", "<p>|"] {
            assert!(!page.contains(forbidden), "{forbidden} in {}", guide.name);
        }
        assert_eq!(page.matches("<pre>").count(), guide.markdown.matches("\n```").count() / 2, "{}", guide.name);
    }
    let files = std::fs::read_dir("openapi/guides").unwrap().map(|entry| entry.unwrap().file_name());
    let files: BTreeSet<_> = files.map(|name| name.into_string().unwrap()).collect();
    assert_eq!(files, GUIDES.iter().map(|guide| format!("{}.md", guide.name)).collect());
}

#[test]
fn every_snippet_runs_twice_on_one_database() {
    // PostgreSQL may have to run as another user, who has to get through to its data.
    let folder = tempfile::Builder::new().prefix("partner-platform-tour").tempdir().unwrap();
    let service = Service::start(folder.path());
    let key = folder.path().join("data/admin-key");
    let receiver = free_port();
    let adapted = |text: &str| {
        text.replace("http://127.0.0.1:8080", &service.url)
            .replace("8099", &receiver.to_string())
            .replace("cargo run --quiet --", env!("CARGO_BIN_EXE_partner-platform"))
            .replace("~/.local/share/partner-platform/admin-key", &key.to_string_lossy())
    };
    let tour = adapted(&read("README.md"));
    let guides: Vec<_> = GUIDES.iter().map(|guide| adapted(guide.markdown)).collect();
    let (tour, guides) = (blocks(&tour), guides.iter().flat_map(|guide| blocks(guide)).collect::<Vec<_>>());
    assert!(tour.len() > 4 && guides.len() > 20, "there are snippets");

    for run in ["the first run", "the second run"] {
        run_blocks(&tour, run);
        run_blocks(&guides, run);
    }
    the_guides_are_served(&service.url);
}

/// The snippets of a text that are for a shell.
fn blocks(markdown: &str) -> Vec<&str> {
    markdown.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// Runs snippets as one script, and looks for what they promise.
fn run_blocks(blocks: &[&str], run: &str) {
    let script = blocks.join("\necho '=== end of block'\n");
    let output = Command::new("bash").args(["-u", "-c", &script]).env("LOG_LEVEL", "error").output().unwrap();
    assert!(output.stderr.is_empty(), "{run}: {}", String::from_utf8_lossy(&output.stderr));
    let output = String::from_utf8(output.stdout).unwrap();
    let outputs: Vec<_> = output.split("=== end of block").collect();
    assert_eq!(outputs.len(), blocks.len());
    for (block, output) in blocks.iter().zip(outputs) {
        for text in block.lines().filter_map(|line| line.strip_prefix("# → ")) {
            assert!(output.contains(text), "{run}: expected {text} after\n{block}\nbut the output was\n{output}");
        }
    }
}

/// The head and the body of a response.
fn get(url: &str) -> (String, String) {
    let output = Command::new("curl").args(["--silent", "--include", url]).output().unwrap();
    let response = String::from_utf8(output.stdout).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{url} has a response"));
    (head.to_lowercase(), body.to_owned())
}

fn the_guides_are_served(url: &str) {
    let (head, index) = get(&format!("{url}/docs/guides/"));
    assert!(head.starts_with("http/1.1 200") && head.contains("content-type: text/html"), "{head}");
    for guide in GUIDES {
        assert!(index.contains(&format!("href=\"{}\"", guide.name)), "{} is in {index}", guide.name);
        let (head, page) = get(&format!("{url}/docs/guides/{}", guide.name));
        assert!(head.starts_with("http/1.1 200") && head.contains("style-src 'self'"), "{head}");
        assert_eq!(page, guide.page().into_string());
    }
    let (head, _) = get(&format!("{url}/docs/guides/guides.css"));
    assert!(head.starts_with("http/1.1 200") && head.contains("content-type: text/css"), "{head}");
    for missing in ["invented", "errors.md", "errors/more"] {
        let (head, body) = get(&format!("{url}/docs/guides/{missing}"));
        assert!(
            head.starts_with("http/1.1 404") && body.contains("\"code\":\"not_found\""),
            "{missing}: {head} {body}"
        );
    }
    let (head, reference) = get(&format!("{url}/docs/"));
    assert!(head.starts_with("http/1.1 200") && reference.contains("<title>Partner platform API</title>"), "{head}");
    assert!(!reference.contains("standalone-preset"), "there is no top bar: {reference}");
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
        // The shell's own: a small machine has no such program.
        let _ = Command::new("sh").args(["-c", &format!("kill {}", self.process.id())]).status();
        let _ = self.process.wait();
    }
}
