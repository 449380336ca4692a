-- The region that was chosen at the sign-up: whose taxes are paid. It stays when regions change. NULL:
-- it is not known.
ALTER TABLE organizations ADD COLUMN home_region TEXT;
UPDATE organizations SET home_region = (
    SELECT region FROM organization_regions
    WHERE organization_regions.organization = organizations.id
    ORDER BY position LIMIT 1
);
