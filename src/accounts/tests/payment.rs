use super::*;

use event::Plan;
use payment_method::ChargeablePaymentMethod;

async fn chargeable(accounts: &Accounts) -> Option<ChargeablePaymentMethod> {
    let mut change = accounts.begin(&Caller::operator()).await.unwrap();
    change.chargeable_payment_methods(&["acme"]).await.unwrap().remove("acme").transpose().unwrap()
}

#[tokio::test]
async fn payment_methods_keep_a_default_while_the_plan_is_paid() {
    let fixture = Fixture::new().await;
    fixture.sign_up("acme").await;
    let first = fixture.add_card("acme").await;
    let second = fixture.add_card("acme").await;
    assert!(first.default && !second.default);
    fixture.set_plan("acme", Plan::Plus).await.unwrap();
    let accounts = &fixture.accounts;
    let caller = admin("acme");
    let refused = accounts.delete_payment_method(&caller, "acme", &first.id).await;
    assert_eq!(slug(refused), (409, "default-payment-method"));
    accounts.set_default_payment_method(&caller, "acme", &second.id).await.unwrap();
    accounts.delete_payment_method(&caller, "acme", &first.id).await.unwrap();
    let refused = accounts.delete_payment_method(&caller, "acme", &second.id).await;
    assert_eq!(slug(refused), (409, "default-payment-method"));
    fixture.set_plan("acme", Plan::Free).await.unwrap();
    let third = fixture.add_card("acme").await;
    accounts.delete_payment_method(&caller, "acme", &second.id).await.unwrap();
    let left = accounts.payment_methods("acme", &Page::new(None, None)).await.unwrap().data;
    assert_eq!(
        left.iter().map(|m| (m.id.as_str(), m.default)).collect::<Vec<_>>(),
        [(third.id.as_str(), true)]
    );
    let left = chargeable(accounts).await.expect("one is left");
    assert_eq!((left.id, left.token.as_str()), (third.id.clone(), "tok_ok"));
    accounts.delete_payment_method(&caller, "acme", &third.id).await.unwrap();
    assert_eq!(chargeable(accounts).await, None);
    let gone = accounts.set_default_payment_method(&caller, "acme", &third.id).await;
    assert_eq!(slug(gone), (404, "not-found"));
}
