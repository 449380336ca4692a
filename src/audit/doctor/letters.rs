use super::{Check, Settings};
use crate::audit::letters;
use crate::clock::Clock;

const DAY_MS: i64 = 86_400_000;

/// Dead letters of the last day, by reason.
pub async fn check(settings: &Settings, clock: &Clock) -> Check {
    let (kafka, since_ms) = (settings.kafka.clone(), clock.now_ms() - DAY_MS);
    let counted = tokio::task::spawn_blocking(move || letters::count_since(&kafka, since_ms)).await;
    let name = "dead letters";
    let by_reason = match counted {
        Ok(Ok(by_reason)) => by_reason,
        Ok(Err(error)) => return Check::wrong(name, error.to_string(), "see whether Kafka is well"),
        Err(error) => return Check::wrong(name, error.to_string(), "run doctor again"),
    };
    if by_reason.is_empty() {
        return Check::good(name, "none within the last day");
    }
    let reasons: Vec<String> = by_reason.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    Check::doubtful(
        name,
        format!("within the last day: {}", reasons.join(", ")),
        "`odometer dead-letters list` says why; mend the producer or the configuration, then `odometer \
         dead-letters retry`",
    )
}
