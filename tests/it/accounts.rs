//! Accounts on the databases that they are kept in.

mod on_postgres;
