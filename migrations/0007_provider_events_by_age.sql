-- Events of the payment provider are swept once they can't come again.
CREATE INDEX provider_events_by_age ON provider_events (received_ms);
