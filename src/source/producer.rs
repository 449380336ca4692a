use std::time::Duration;

use rdkafka::producer::{BaseProducer, Producer, ProducerContext};

/// What others add meanwhile is left for the next time.
const MOST_ROUNDS: usize = 1_000;

/// Takes all that the client has to tell, and waits for nothing. The client's own thread for that
/// (`ThreadedProducer`) spins for the last millisecond of every tenth of a second.
pub fn drain<C: ProducerContext>(producer: &BaseProducer<C>) {
    for _ in 0..MOST_ROUNDS {
        let before = producer.in_flight_count();
        producer.poll(Duration::ZERO);
        if producer.in_flight_count() == before {
            return;
        }
    }
}
