-- 1: every organization was looked at, and `unbilled` has those that could not be billed.
ALTER TABLE closings ADD COLUMN passed BIGINT NOT NULL DEFAULT 0;

-- Who got no invoice of a closing because of what is stored of them, and why.
CREATE TABLE unbilled (
    closing BIGINT NOT NULL REFERENCES closings (sequence),
    organization TEXT NOT NULL,
    cause TEXT NOT NULL,
    PRIMARY KEY (closing, organization)
);
