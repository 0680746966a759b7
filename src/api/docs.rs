//! Everything below `/docs`: the reference in Swagger UI, and the [`guides`]. All of it is in the binary. The
//! Content-Security-Policy of these pages allows files of this service only, so no page has an inline style or script.

pub mod guides;

use actix_web::{HttpResponse, web};
use utoipa_swagger_ui::{Config, SwaggerUi};

/// The files of Swagger UI that are ours: the vendored page has the top bar, whose logo brings an inline style and whose
/// text box loads any document.
const INDEX: &str = include_str!("docs/index.html");
const INITIALIZER: &str = include_str!("docs/swagger-initializer.js");
const STYLE: &str = include_str!("docs/docs.css");

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Everything below `/docs`. The first route that matches is served, so the vendored files come last.
pub fn routes(config: &mut web::ServiceConfig) {
    config.service(web::redirect("/docs", "/docs/"));
    config.route("/docs/", web::get().to(index));
    config.route("/docs/index.html", web::get().to(index));
    config.route("/docs/swagger-initializer.js", web::get().to(initializer));
    config.route("/docs/docs.css", web::get().to(style));
    guides::routes(config);
    config.service(SwaggerUi::new("/docs/{_:.*}").config(Config::from("/openapi.json")));
}

async fn index() -> HttpResponse {
    file(HTML, INDEX)
}

async fn initializer() -> HttpResponse {
    file(JAVASCRIPT, INITIALIZER)
}

async fn style() -> HttpResponse {
    file(CSS, STYLE)
}

fn file(kind: &'static str, body: &'static str) -> HttpResponse {
    HttpResponse::Ok().content_type(kind).body(body)
}
