use super::*;

fn settings(properties: &[(&str, &str)]) -> Settings {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Settings {
        brokers: "127.0.0.1:9".into(),
        group: "odometer".into(),
        topics: Vec::new(),
        dead_letters: "odometer.dead-letters".into(),
        start: Start::Earliest,
        batches: true,
        properties: properties.iter().map(owned).collect(),
    }
}

/// librdkafka refuses a client whose answers may be smaller than a message.
#[test]
fn an_answer_holds_the_largest_message() {
    let answer = |properties: &[(&str, &str)]| {
        let properties = settings(properties).consumer_properties();
        let pairs = properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        ffi::Handle::new(pairs).expect("librdkafka takes them");
        properties["fetch.max.bytes"].clone()
    };
    assert_eq!(answer(&[]), "8388608");
    assert_eq!(answer(&[("message.max.bytes", "2000000")]), "8388608");
    assert_eq!(answer(&[("message.max.bytes", "16777216")]), "16777216");
    assert_eq!(answer(&[("message.max.bytes", "16777216"), ("fetch.max.bytes", "20000000")]), "20000000");
}
