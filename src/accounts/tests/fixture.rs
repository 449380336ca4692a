//! What every test of the suite begins with.

use std::sync::Arc;

use super::*;

use clock::Time;
use event::Plan;
use organization::SignUp;
use payment_method::NewPaymentMethod;

pub(crate) const START: &str = "2026-11-01T09:00:00Z";
pub(crate) const DAY_MS: i64 = 86_400_000;

/// Accounts in a database of their own, under a test clock that stands at `START`.
pub(crate) struct Fixture {
    pub accounts: Arc<Accounts>,
    pub settings: Settings,
    _place: Place,
}

pub(crate) fn at(text: &str) -> i64 {
    text.parse::<Time>().expect("a time").0
}

impl Fixture {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(adjust: impl FnOnce(&mut Settings)) -> Self {
        let (url, place) = place().await;
        let mut settings = Settings::new(url);
        settings.test_clock = true;
        adjust(&mut settings);
        let accounts = Arc::new(Accounts::open(&settings).await.expect("accounts open"));
        let fixture = Self { accounts, settings, _place: place };
        fixture.advance_to(at(START)).await;
        fixture
    }

    pub async fn advance_to(&self, now_ms: i64) {
        let caller = Caller::operator();
        self.accounts.set_test_clock(&caller, Time(now_ms)).await.expect("the clock moves on");
    }

    pub async fn advance_by(&self, ms: i64) {
        self.advance_to(self.accounts.clock().now_ms() + ms).await;
    }

    pub async fn sign_up(&self, id: &str) -> OrganizationAnswer {
        self.accounts.sign_up(&Caller::operator(), &sign_up(id)).await.expect("a sign-up")
    }

    pub async fn set_plan(&self, id: &str, plan: Plan) -> AccountResult<OrganizationAnswer> {
        self.accounts.set_plan(&admin(id), id, plan).await
    }

    pub async fn add_card(&self, id: &str) -> payment_method::PaymentMethod {
        self.accounts.add_payment_method(&admin(id), id, &card()).await.expect("a payment method")
    }

    pub async fn plan(&self, id: &str) -> Plan {
        self.accounts.organization(id).await.expect("an organization").plan
    }

    /// Types of the events so far, without `organization.created`.
    pub async fn events(&self, id: &str) -> Vec<String> {
        let page = Page::new(Some(1000), None);
        let list = self.accounts.outbox(outbox::Channel::Notices, &page).await.expect("the outbox");
        list.data
            .into_iter()
            .filter(|event| event.organization == id && event.event_type != "organization.created")
            .map(|event| format!("{} {}", event.event_type, event.timestamp))
            .collect()
    }

    pub async fn assert_log_is_whole(&self) {
        self.accounts.verify_log().await.expect("the log is read").expect("the log is whole");
    }
}

pub(crate) fn sign_up(id: &str) -> SignUp {
    SignUp {
        id: Some(id.to_owned()),
        name: format!("{id} Ltd"),
        email: format!("billing@{id}.example"),
        region: "us".to_owned(),
    }
}

pub(crate) fn card() -> NewPaymentMethod {
    let text = str::to_owned;
    NewPaymentMethod { token: text("tok_ok"), brand: text("visa"), last4: text("4242"), exp: text("11/2028") }
}

pub(crate) fn key_of(id: &str, role: Role) -> Caller {
    let actor = Actor::Key { id: "key_test".to_owned(), organization: id.to_owned(), role };
    Caller { actor, idempotency: None }
}

pub(crate) fn admin(id: &str) -> Caller {
    key_of(id, Role::Admin)
}

pub(crate) fn slug<T: std::fmt::Debug>(result: AccountResult<T>) -> (u16, &'static str) {
    let error = result.expect_err("this is refused");
    (error.status(), error.slug())
}
