//! Accounts on the databases that they are kept in, and over HTTP.

mod api;
mod damaged;
mod entitlements;
mod migrations;
mod on_postgres;
mod pages;
mod rate;
mod roles;
mod stream;
pub mod world;
mod year;
