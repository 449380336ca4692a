//! What the customer was told a month costs is what its invoice says, whatever the plan was when.

use odometer::accounts::database::Value as Stored;
use odometer::event::HOUR_MS;

use super::{bill, invoices, verify};
use crate::accounts::world::{World, at, calls, services};

/// A fixed sequence of numbers that look random.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Plans from the first of October on that change up to 24 times within three days.
fn history(dice: &mut Dice) -> Vec<(i64, &'static str)> {
    let start = at("2026-10-01T00:00:00Z");
    let mut cuts: Vec<i64> =
        (0..dice.below(25)).map(|_| start + dice.below(3 * 86_400).cast_signed() * 1000).collect();
    cuts.push(start);
    cuts.sort_unstable();
    cuts.dedup();
    let plans = ["free", "plus", "plus", "enterprise", "enterprise"];
    cuts.into_iter().map(|cut| (cut, plans[usize::try_from(dice.below(5)).expect("small")])).collect()
}

async fn write_history(world: &World, organization: &str, history: &[(i64, &'static str)]) {
    let database = world.accounts.database();
    let delete = "DELETE FROM plan_periods WHERE organization = $1";
    database.execute(delete, &[organization.into()]).await.expect("delete periods");
    for (index, (from_ms, plan)) in history.iter().enumerate() {
        let to_ms = history.get(index + 1).map(|(next, _)| *next);
        let insert = "INSERT INTO plan_periods (organization, from_ms, to_ms, plan, trial)
            VALUES ($1, $2, $3, $4, 0)";
        let values: [Stored; 4] = [organization.into(), (*from_ms).into(), to_ms.into(), (*plan).into()];
        database.execute(insert, &values).await.expect("insert a period");
    }
    // Whoever follows the account log reads the organization again.
    world.new_key(organization, "viewer").await;
}

#[tokio::test]
async fn an_invoice_is_what_the_estimate_said_for_any_history_of_plans() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("accounts.db").display());
    let mut world = World::new("bill_estimates", url).await;
    world.set_clock("2026-09-20T00:00:00Z").await;
    let mut dice = Dice(7);
    let organizations: Vec<String> = (0..24).map(|number| format!("org-{number}")).collect();
    let mut counts = Vec::new();
    let mut created = Vec::new();
    for organization in &organizations {
        world.sign_up(organization).await;
        write_history(&world, organization, &history(&mut dice)).await;
        let first = at("2026-10-01T00:00:00Z") / HOUR_MS;
        for hour in first..first + 80 {
            let mut count = calls(organization, "2026-10-01T00:00:00Z", 1_000_003);
            count.hour = u32::try_from(hour).expect("an hour");
            counts.push(count);
        }
        created.extend(services(organization, "2026-10-02T05:00:00Z", 2));
    }
    world.publish(&counts, &created).await;
    world.set_clock("2026-11-01T00:00:00Z").await;
    bill(&world, "2026-10").await;
    let mut with_invoice = 0;
    for organization in &organizations {
        let path = format!("/v1/organizations/{organization}/usage?month=2026-10");
        let usage = world.once(&path, "/usage/api_calls", 80 * 1_000_003).await;
        // On Enterprise now its invoices are not shown; they are there.
        let plan = usage["plan"].as_str().expect("a plan").to_owned();
        if plan == "enterprise" {
            write_history(&world, organization, &[(at("2026-11-01T00:00:00Z"), "free")]).await;
        }
        let invoices = invoices(&world, organization).await;
        let total = invoices.first().map_or("0.00", |invoice| invoice["total"].as_str().expect("a total"));
        assert_eq!(usage["estimated_cost"]["amount"], total, "{organization}: {usage:#}");
        if let (Some(invoice), "free" | "plus") = (invoices.first(), plan.as_str()) {
            verify(&world, invoice["number"].as_str().expect("a number")).await;
            with_invoice += 1;
        }
    }
    assert!(with_invoice > 5, "{with_invoice} invoices");
}
