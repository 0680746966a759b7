#[allow(warnings)]
mod client;

fn main() {}
