use super::*;
use crate::snapshot::usage::tests::acme;

#[test]
fn a_month_is_shown_by_meter_and_region() {
    let expected = "\
acme, 2026-11 (UTC)

METER               REGION  USED
api_calls           all     1,200,345
                    eu            345
                    us      1,200,000
services            all             2
                    eu              1
                    us              1
published_services  all             1
                    eu              0
                    us              1
regions             all             2
tokens              all             0
                    eu              0
                    us              0

as of 2026-11-23T18:00:01.250Z, complete through 2026-11-23T18:00:00Z";
    assert_eq!(for_people(&acme(&[])), expected);
}

#[test]
fn what_is_missing_is_said() {
    let text = for_people(&acme(&[("sg", "read usage of region sg: no answer within 5 s")]));
    assert!(
        text.contains("\nregion sg is missing: read usage of region sg: no answer within 5 s\n"),
        "{text}"
    );
    assert!(text.contains("INCOMPLETE"), "{text}");
}
