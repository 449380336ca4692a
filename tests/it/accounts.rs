//! Accounts on the databases that they are kept in, and over HTTP.

mod api;
mod on_postgres;
mod roles;
mod world;
mod year;
