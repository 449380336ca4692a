use std::collections::HashSet;

use super::*;

#[test]
fn names_are_unique() {
    let names: HashSet<String> = (0..100_000).map(name).collect();
    assert_eq!(names.len(), 100_000);
    assert!(names.iter().all(|name| name.len() <= 32));
}

#[test]
fn most_organizations_stay_at_home() {
    let mut random = Random::new(1);
    let mut regions_of =
        |index| (0..200).map(|_| region(index, 3, &mut random)).collect::<HashSet<_>>().len();
    assert_eq!(regions_of(0), 2);
    assert_eq!(regions_of(10), 2);
    assert_eq!(regions_of(7), 1);
    assert!((0..1_000).all(|index| region(index, 1, &mut Random::new(2)) == 0));
    assert!((0..1_000).all(|index| (2..=7).contains(&services(index))));
}
