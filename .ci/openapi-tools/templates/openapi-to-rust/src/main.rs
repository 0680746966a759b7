#[allow(warnings)]
mod api;

fn main() {}
