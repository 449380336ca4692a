use super::*;

#[test]
fn changes_are_collected_once_each() {
    let changes = Changes::new(true);
    let (acme, other): (Arc<str>, Arc<str>) = ("acme".into(), "other".into());
    for organization in [&acme, &other, &acme] {
        changes.mark(organization);
    }
    let mut drained = changes.drain();
    drained.sort();
    assert_eq!(drained, [acme.clone(), other]);
    assert!(changes.drain().is_empty());
    let idle = Changes::new(false);
    idle.mark(&acme);
    assert!(idle.drain().is_empty());
}

#[test]
fn a_watcher_is_told_of_its_organization_alone() {
    let changes = Changes::new(false);
    let (acme, other): (Arc<str>, Arc<str>) = ("acme".into(), "other".into());
    let mut watching = changes.watch(&acme);
    changes.mark(&other);
    assert!(!watching.has_changed().unwrap());
    changes.mark(&acme);
    changes.mark(&acme);
    assert!(watching.has_changed().unwrap());
    watching.mark_unchanged();
    changes.mark_watched();
    assert!(watching.has_changed().unwrap());
    drop(watching);
    let _other = changes.watch(&other);
    assert_eq!(changes.watchers.len(), 1, "who watches no more is forgotten");
}
