//! Every route × every role × own and foreign organization, from the API's own description, so that
//! a new route can't be forgotten.

use serde_json::{Value, json};

use super::database::{Database, on_both_databases};
use super::world::{TOKEN, World, request};

on_both_databases! {
    every_route_lets_in_whom_it_should_and_nobody_else,
    changes_without_a_body_are_guarded_too,
}

/// Routes that a key of role `runtime` may ask, of its own organization.
const RUNTIME: [&str; 2] =
    ["/v1/organizations/{org}/license", "/v1/organizations/{org}/entitlements/{meter}"];
/// Routes without an organization that any key may ask.
const ANY_KEY: [(&str, &str); 1] = [("get", "/v1/license-keys")];

/// Routes of an organization that are the operator's.
const OPERATOR: [&str; 1] = ["/v1/organizations/{org}/invoices/{number}/void"];

/// Routes with which who reads signs in to the pages, and changes nothing.
const SIGN_IN: &str = "/v1/organizations/{org}/portal-sessions";

pub struct Route {
    pub method: String,
    pub path: String,
}

impl Route {
    fn names_an_organization(&self) -> bool {
        self.path.contains("{org}")
    }

    pub fn mutates(&self) -> bool {
        self.method != "get"
    }

    fn place(&self, organization: &str) -> String {
        self.path.replace("{org}", organization).replace("{meter}", "api_calls").replace("{id}", "x")
    }

    /// `None`: the role is let in, whatever the handler then says.
    fn refusal(&self, role: &str, foreign: bool) -> Option<(u16, &'static str)> {
        let any_key = ANY_KEY.contains(&(self.method.as_str(), self.path.as_str()));
        let allowed = match role {
            "operator" => true,
            _ if !self.names_an_organization() => any_key,
            _ if foreign => return Some((404, "organization-not-found")),
            _ if OPERATOR.contains(&self.path.as_str()) => false,
            "admin" => true,
            "viewer" => !self.mutates() || (self.method == "post" && self.path == SIGN_IN),
            _ => !self.mutates() && RUNTIME.contains(&self.path.as_str()),
        };
        (!allowed).then_some((403, "role"))
    }
}

pub async fn routes(world: &World) -> Vec<Route> {
    let description = world.get("/openapi.json").await.good();
    let mut routes = Vec::new();
    for (path, methods) in description["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            // Without a token, or with a signature in place of it.
            let has_no_token =
                operation["security"] == json!([{}]) || operation["security"][0]["signature"].is_array();
            if !has_no_token {
                routes.push(Route { method: method.clone(), path: path.clone() });
            }
        }
    }
    routes
}

async fn every_route_lets_in_whom_it_should_and_nobody_else(database: Database) {
    let (url, _folder) = database.create("roles").await;
    let world = World::new("roles", url).await;
    world.set_clock("2026-11-01T09:00:00Z").await;
    for organization in ["acme", "other"] {
        world.sign_up(organization).await;
    }
    let mut tokens = vec![("operator", TOKEN.to_owned())];
    for role in ["admin", "viewer", "runtime"] {
        tokens.push((role, world.new_key("acme", role).await));
    }
    let routes = routes(&world).await;
    assert!(routes.len() >= 20, "the description lists the routes");
    for route in &routes {
        for unknown in ["", "nobody", "odo_key_1_2"] {
            let asked = request(unknown, &route.method.to_uppercase(), &route.place("acme"), None);
            assert_eq!(world.status_of(asked).await.0, 401, "{} {}", route.method, route.path);
        }
        for (role, token) in &tokens {
            for organization in ["acme", "other"] {
                // A body that no handler takes: what is let in changes nothing.
                let body = route.mutates().then(|| json!({ "no": "such field" }));
                if changes_without_a_body(route) {
                    continue;
                }
                let asked = request(token, &route.method.to_uppercase(), &route.place(organization), body);
                let (status, slug) = world.status_of(asked).await;
                let what =
                    format!("{role} {} {} of {organization}: {status} {slug}", route.method, route.path);
                match route.refusal(role, organization == "other") {
                    Some(refusal) => assert_eq!((status, slug.as_str()), refusal, "{what}"),
                    None => {
                        assert!(status != 401 && status < 500, "{what}");
                        assert_ne!(slug, "role", "{what}");
                        assert_ne!(slug, "organization-not-found", "{what}");
                    }
                }
            }
        }
    }
}

/// They would take effect in the middle of the walk; what they refuse, the cases below say.
fn changes_without_a_body(route: &Route) -> bool {
    (route.method == "delete" && route.path.ends_with("/plan"))
        || (route.method == "post" && route.path == "/v1/license-keys")
}

async fn changes_without_a_body_are_guarded_too(database: Database) {
    let (url, _folder) = database.create("roles_bodyless").await;
    let world = World::new("roles_bodyless", url).await;
    world.sign_up("acme").await;
    world.sign_up("other").await;
    let refused = async |token: &str, method: &str, path: &str| {
        let answer = world.call(token, method, path, None).await;
        (answer.status.as_u16(), answer.slug().to_owned())
    };
    let (own, foreign) = ("/v1/organizations/acme/plan", "/v1/organizations/other/plan");
    for role in ["admin", "viewer", "runtime"] {
        let key = world.new_key("acme", role).await;
        assert_eq!(refused(&key, "DELETE", foreign).await, (404, "organization-not-found".into()), "{role}");
        assert_eq!(refused(&key, "POST", "/v1/license-keys").await, (403, "role".into()), "{role}");
        let answer = refused(&key, "DELETE", own).await;
        let expected = if role == "admin" { (200, String::new()) } else { (403, "role".into()) };
        assert_eq!(answer, expected, "{role}");
    }
    assert_eq!(world.get("/v1/organizations/other").await.good()["plan"], Value::from("plus"));
}
