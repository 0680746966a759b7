//! The service as its callers see it: the real server over a socket, on a real PostgreSQL, each test in a
//! database of its own. The files mirror `src/api/v1`; what holds for every operation is in `coverage.rs`.

mod coverage;
mod support;
