-- The first sign-up is asked for every second: whose months are to be billed.
CREATE INDEX organizations_by_age ON organizations (created_ms);
