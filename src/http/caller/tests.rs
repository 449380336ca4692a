use axum::http::HeaderValue;

use super::*;

fn member(role: Role) -> Caller {
    Caller::Member { organization: "acme".into(), role, key_id: "key_1".into() }
}

#[test]
fn who_may_do_what() {
    let operator = Caller::Operator;
    let (admin, viewer, runtime) = (member(Role::Admin), member(Role::Viewer), member(Role::Runtime));
    let slug = |answer: Result<(), Problem>| answer.err().map(|problem| problem.slug());
    let cases = [
        // (caller, organization, ask, read, change)
        (&operator, "acme", None, None, None),
        (&operator, "other", None, None, None),
        (&admin, "acme", None, None, None),
        (&viewer, "acme", None, None, Some("role")),
        (&runtime, "acme", None, Some("role"), Some("role")),
    ];
    for (caller, organization, ask, read, change) in cases {
        assert_eq!(slug(caller.may_ask(organization)), ask, "{caller:?}");
        assert_eq!(slug(caller.may_read(organization)), read, "{caller:?}");
        assert_eq!(slug(caller.may_change(organization)), change, "{caller:?}");
    }
    for caller in [&admin, &viewer, &runtime] {
        let hidden = Some("organization-not-found");
        assert_eq!(slug(caller.may_ask("other")), hidden);
        assert_eq!(slug(caller.may_read("other")), hidden);
        assert_eq!(slug(caller.may_change("other")), hidden);
        assert_eq!(slug(caller.must_be_operator()), Some("role"));
    }
    assert_eq!(slug(operator.must_be_operator()), None);
}

#[test]
fn tokens_are_found_whole_or_not_at_all() {
    let tokens = Tokens::new("secret");
    assert_eq!(tokens.caller("secret"), Some(Caller::Operator));
    for token in ["", "secre", "secrets", "Secret", " secret"] {
        assert_eq!(tokens.caller(token), None, "{token:?}");
    }
}

#[test]
fn the_header_is_read_as_its_grammar_says() {
    let cases = [
        ("Bearer secret", Some("secret")),
        ("bearer secret", Some("secret")),
        ("BEARER  secret ", Some("secret")),
        ("Basic secret", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("secret", None),
    ];
    for (value, token) in cases {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
        assert_eq!(bearer_token(&headers).ok(), token, "{value:?}");
    }
    assert!(bearer_token(&HeaderMap::new()).is_err());
}
