//! Accounts on the databases that they are kept in, and over HTTP.

mod api;
mod at_once;
mod away;
mod damaged;
pub mod database;
mod entitlements;
mod lists;
mod migrations;
mod mutations;
mod on_postgres;
mod pages;
mod rate;
mod regions;
mod roles;
mod secrets;
mod stream;
mod two_processes;
pub mod world;
mod year;
