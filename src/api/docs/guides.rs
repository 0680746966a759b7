//! The guides for integrators: Markdown in `openapi/guides/`, rendered once and served below `/docs/guides/`.

use std::sync::LazyLock;

use actix_web::{HttpResponse, web};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd};

use super::{CSS, HTML, file};
use crate::api::contract::code::ErrorCode;
use crate::api::contract::problem::Problem;

const STYLE: &str = include_str!("guides.css");

/// A guide as it is written.
#[derive(Debug, Clone, Copy)]
pub struct Guide {
    /// The last part of its path, and its file without `.md`.
    pub name: &'static str,
    /// Its text. The first line is the title, the first paragraph is what the index says of it.
    pub markdown: &'static str,
}

macro_rules! guides {
    ($($name:literal),+ $(,)?) => {
        &[$(Guide { name: $name, markdown: include_str!(concat!("../../../openapi/guides/", $name, ".md")) }),+]
    };
}

/// All guides, in the order in which they are best read.
pub const GUIDES: &[Guide] = guides![
    "quick-start",
    "keys-and-tokens",
    "errors",
    "retries",
    "pages",
    "events",
    "webhooks",
    "time",
    "money",
    "reports",
    "limits",
];

/// The index, and the page of each guide in the order of [`GUIDES`].
static PAGES: LazyLock<(String, Vec<String>)> = LazyLock::new(|| {
    let pages = GUIDES.iter().map(|guide| guide.page().into_string());
    (index().into_string(), pages.collect())
});

/// The routes of the guides.
pub fn routes(config: &mut web::ServiceConfig) {
    config.service(web::redirect("/docs/guides", "/docs/guides/"));
    config.route("/docs/guides/", web::get().to(get_index));
    config.route("/docs/guides/guides.css", web::get().to(get_style));
    config.route("/docs/guides/{name}", web::get().to(get_guide));
}

async fn get_index() -> HttpResponse {
    file(HTML, &PAGES.0)
}

async fn get_style() -> HttpResponse {
    file(CSS, STYLE)
}

async fn get_guide(name: web::Path<String>) -> Result<HttpResponse, Problem> {
    let place = GUIDES.iter().position(|guide| guide.name == name.as_str());
    let page = place.and_then(|place| PAGES.1.get(place));
    let page =
        page.ok_or_else(|| Problem::new(ErrorCode::NotFound, "This guide does not exist. See /docs/guides/."))?;
    Ok(file(HTML, page))
}

impl Guide {
    /// Its title.
    #[must_use]
    pub fn title(&self) -> &'static str {
        self.markdown.lines().next().unwrap_or_default().trim_start_matches("# ")
    }

    /// Its first paragraph, as HTML.
    fn summary(&self) -> String {
        let paragraph = self.markdown.split("\n\n").nth(1).unwrap_or_default();
        render(paragraph)
    }

    /// Its page.
    #[must_use]
    pub fn page(&self) -> Markup {
        layout(self.title(), Some(self.name), html! { (PreEscaped(render(self.markdown))) })
    }
}

fn index() -> Markup {
    let guides = html! {
        h1 { "Guides" }
        p { "How to work with the API, by topic. Each operation and field is described in the API reference." }
        dl {
            @for guide in GUIDES {
                dt { a href=(guide.name) { (guide.title()) } }
                dd { (PreEscaped(guide.summary())) }
            }
        }
    };
    layout("Guides", None, guides)
}

fn layout(title: &str, current: Option<&str>, content: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " – Partner platform" }
                link rel="stylesheet" href="guides.css";
                link rel="icon" type="image/png" href="../favicon-32x32.png";
            }
            body {
                header.top {
                    a.name href="./" { "Partner platform" }
                    a href="./" { "Guides" }
                    a href="../" { "API reference" }
                }
                div.frame {
                    main { (content) }
                    @if let Some(current) = current {
                        nav.guides aria-label="Guides" {
                            ul {
                                @for guide in GUIDES {
                                    li {
                                        a href=(guide.name) aria-current=[(guide.name == current).then_some("page")] {
                                            (guide.title())
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Markdown as HTML. Links lead to the pages of other guides, headings have the anchors that GitHub gives them, and a wide
/// table scrolls by itself.
fn render(markdown: &str) -> String {
    let mut events: Vec<Event<'_>> = Parser::new_ext(markdown, Options::ENABLE_TABLES).collect();
    for at in 0..events.len() {
        let anchor = anchor(&text_of_heading(&events[at..]));
        match &mut events[at] {
            Event::Start(Tag::Heading { id, .. }) => *id = Some(anchor.into()),
            Event::Start(Tag::Link { dest_url, .. }) => *dest_url = page_of(dest_url),
            _ => {}
        }
    }
    let events = events.into_iter().flat_map(|event| {
        let (before, after) = match &event {
            Event::Start(Tag::Table(_)) => (Some("<div class=\"table\" tabindex=\"0\">"), None),
            Event::End(TagEnd::Table) => (None, Some("</div>")),
            _ => (None, None),
        };
        let html = |text: &'static str| Event::Html(text.into());
        [before.map(html), Some(event), after.map(html)].into_iter().flatten()
    });
    let mut html = String::with_capacity(markdown.len() * 2);
    pulldown_cmark::html::push_html(&mut html, events);
    html
}

/// The text of a heading at the start of some events; empty where there is none.
fn text_of_heading(events: &[Event<'_>]) -> String {
    if !matches!(events.first(), Some(Event::Start(Tag::Heading { .. }))) {
        return String::new();
    }
    let inside = events.iter().take_while(|event| !matches!(event, Event::End(TagEnd::Heading(_))));
    let texts = inside.filter_map(|event| match event {
        Event::Text(text) | Event::Code(text) => Some(text.as_ref()),
        _ => None,
    });
    texts.collect()
}

/// A heading as the fragment of a URL.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|character| character.is_alphanumeric() || " -_".contains(*character));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Where a link leads: the file of a guide is served without `.md`.
fn page_of<'a>(target: &CowStr<'a>) -> CowStr<'a> {
    let (path, fragment) = target.split_once('#').map_or((target.as_ref(), None), |(path, part)| (path, Some(part)));
    match (path.strip_suffix(".md"), fragment) {
        (Some(name), None) => name.to_owned().into(),
        (Some(name), Some(fragment)) => format!("{name}#{fragment}").into(),
        (None, _) => target.clone(),
    }
}
