-- The shared call budget. Times are microseconds of the day's clock.

-- Calls that left. `counts_at` is the latest time at which the vendor may have counted one: when its
-- answer came, or for as long as none came, some seconds after it left.
CREATE TABLE call_departures (
    id BIGINT PRIMARY KEY NOT NULL,
    tenant TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    counts_at BIGINT NOT NULL,
    background BIGINT NOT NULL
);
CREATE INDEX call_departures_by_time ON call_departures (tenant, endpoint, counts_at);

-- What 429s taught. A lesson holds for the configuration under which it was learned.
CREATE TABLE call_limits (
    tenant TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    closed_until BIGINT NOT NULL,
    configured TEXT NOT NULL,
    per_second BIGINT,
    per_minute BIGINT,
    per_hour BIGINT,
    PRIMARY KEY (tenant, endpoint)
);
