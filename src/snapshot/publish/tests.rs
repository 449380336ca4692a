use super::*;

fn queue() -> Queue {
    Queue::new(Duration::from_secs(1), Arc::default())
}

#[test]
fn an_organization_waits_once_and_at_most_every_interval() {
    let mut queue = queue();
    let acme: Arc<str> = "acme".into();
    let start = clock::instant();
    let at = |ms| start + Duration::from_millis(ms);
    queue.collect(vec![acme.clone(), acme.clone()]);
    assert_eq!(queue.due(at(0)), std::slice::from_ref(&acme));
    queue.sent(acme.clone(), 1, Time(7), at(0));
    assert_eq!(queue.later_than_sent(&acme, Time(7)), Time(8), "readers keep the greatest");
    assert_eq!(queue.later_than_sent(&acme, Time(9)), Time(9));
    assert!(queue.due(at(0)).is_empty());
    queue.collect(vec![acme.clone()]);
    assert!(queue.due(at(999)).is_empty());
    assert_eq!(queue.due(at(1000)), std::slice::from_ref(&acme));
    assert!(queue.was_sent(&acme, 1) && !queue.was_sent(&acme, 2));
}

#[test]
fn what_did_not_arrive_is_sent_again() {
    let mut queue = queue();
    let acme: Arc<str> = "acme".into();
    let start = clock::instant();
    queue.collect(vec![acme.clone()]);
    queue.sent(acme.clone(), 1, Time(7), start);
    queue.failed.insert(acme.clone());
    queue.collect(Vec::new());
    assert!(queue.failed.is_empty());
    assert!(!queue.was_sent(&acme, 1));
    assert!(queue.due(start).is_empty(), "not at once");
    assert_eq!(queue.due(start + Duration::from_secs(1)), std::slice::from_ref(&acme));
    queue.put_off(acme.clone(), start + Duration::from_secs(1));
    assert!(queue.due(start + Duration::from_millis(1500)).is_empty());
    assert_eq!(queue.due(start + Duration::from_secs(2)), [acme]);
}
