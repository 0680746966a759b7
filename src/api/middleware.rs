//! What each request passes before its handler runs, from the outside in: [`unread`], [`observe`], [`cors`],
//! [`incoming`], [`authenticate`], [`limit`], [`negotiate`] and [`mod@write`].

pub mod authenticate;
pub mod cors;
pub mod incoming;
pub mod large;
pub mod limit;
pub mod negotiate;
pub mod observe;
pub mod protection;
pub mod unread;
pub mod write;
