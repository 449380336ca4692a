//! Payments: on both databases, through providers that fail, and as Stripe sees and tells them.

mod books;
mod card_number;
mod collect;
pub mod face;
mod faults;
mod pay;
mod stripe;
mod stripe_mock;
mod webhook;
