-- One row: tells this inbox from another under the same name.
CREATE TABLE inbox (id TEXT NOT NULL, made_at_us INTEGER NOT NULL) STRICT;

CREATE TABLE sources (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- Deliveries that retention has dropped, and the last of them.
    dropped INTEGER NOT NULL DEFAULT 0,
    dropped_through INTEGER NOT NULL DEFAULT 0
) STRICT;

-- What was received, as it came. `seq` grows over all sources and is never used twice.
CREATE TABLE deliveries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    source INTEGER NOT NULL REFERENCES sources (id),
    received_at_us INTEGER NOT NULL,
    -- A JSON object: name to text, or to a list of texts.
    headers TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX deliveries_of_source ON deliveries (source);

-- Hashes of the vendors' own keys, in the order they came; they outlive their deliveries.
CREATE TABLE keys (
    id INTEGER PRIMARY KEY,
    source INTEGER NOT NULL,
    key BLOB NOT NULL,
    at_us INTEGER NOT NULL,
    UNIQUE (source, key)
) STRICT;

-- Who reads, and the last `seq` each of them has stored for good.
CREATE TABLE readers (
    source INTEGER NOT NULL REFERENCES sources (id),
    reader TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (source, reader)
) STRICT, WITHOUT ROWID;
