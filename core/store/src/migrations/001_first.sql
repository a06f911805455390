-- The state of all pipelines that share a state folder. Times are microseconds since the Unix
-- epoch, UTC; JSON is text.

CREATE TABLE runs (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    pipeline       TEXT    NOT NULL,
    kind           TEXT    NOT NULL,
    status         TEXT    NOT NULL CHECK (status IN ('running', 'succeeded', 'failed', 'incomplete', 'cancelled', 'crashed')),
    started_at_us  INTEGER NOT NULL,
    finished_at_us INTEGER,
    detail         TEXT    NOT NULL,
    report         TEXT
) STRICT;
CREATE INDEX runs_by_pipeline ON runs (pipeline, id);
CREATE INDEX runs_open ON runs (pipeline) WHERE status = 'running';

-- A stream of a source and its two generations: the one in use, and the one a full refresh fills.
CREATE TABLE streams (
    id                 INTEGER PRIMARY KEY,
    pipeline           TEXT    NOT NULL,
    source             TEXT    NOT NULL,
    stream             TEXT    NOT NULL,
    generation         INTEGER NOT NULL,
    pending            INTEGER,
    last_generation    INTEGER NOT NULL,
    checkpoint         TEXT,
    pending_checkpoint TEXT,
    next_seq           INTEGER NOT NULL,
    UNIQUE (pipeline, source, stream)
) STRICT;

CREATE TABLE segments (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    stream_id  INTEGER NOT NULL REFERENCES streams (id),
    generation INTEGER NOT NULL,
    file       TEXT    NOT NULL UNIQUE,
    rows       INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    seq_from   INTEGER NOT NULL,
    schema     TEXT    NOT NULL,
    window     TEXT,
    run        INTEGER NOT NULL REFERENCES runs (id)
) STRICT;
CREATE INDEX segments_by_stream ON segments (stream_id, generation, seq_from);

-- `ended_order` orders windows by when they ended: a later one supersedes the days it covers, or the
-- slice it names (a file, say).
CREATE TABLE windows (
    stream_id   INTEGER NOT NULL REFERENCES streams (id),
    generation  INTEGER NOT NULL,
    id          TEXT    NOT NULL,
    from_on     INTEGER NOT NULL,
    to_on       INTEGER NOT NULL,
    slice       TEXT,
    ended_order INTEGER NOT NULL,
    run         INTEGER NOT NULL REFERENCES runs (id),
    PRIMARY KEY (stream_id, generation, id)
) STRICT, WITHOUT ROWID;

-- Files that no longer belong to any generation and may be deleted.
CREATE TABLE garbage (
    file     TEXT PRIMARY KEY,
    pipeline TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE epochs (
    pipeline        TEXT    NOT NULL,
    epoch_no        INTEGER NOT NULL,
    run             INTEGER REFERENCES runs (id),
    status          TEXT    NOT NULL CHECK (status IN ('prepared', 'committed', 'abandoned')),
    inputs_hash     TEXT    NOT NULL,
    state_before    TEXT    NOT NULL,
    state_after     TEXT    NOT NULL,
    counts          TEXT    NOT NULL,
    prepared_at_us  INTEGER NOT NULL,
    finished_at_us  INTEGER,
    note            TEXT,
    PRIMARY KEY (pipeline, epoch_no)
) STRICT;

CREATE TABLE epoch_txns (
    txn             TEXT    PRIMARY KEY,
    pipeline        TEXT    NOT NULL,
    epoch_no        INTEGER NOT NULL,
    position        INTEGER NOT NULL,
    sink            TEXT    NOT NULL,
    staged          TEXT    NOT NULL,
    receipt         TEXT,
    committed_at_us INTEGER,
    UNIQUE (pipeline, epoch_no, sink),
    FOREIGN KEY (pipeline, epoch_no) REFERENCES epochs (pipeline, epoch_no)
) STRICT, WITHOUT ROWID;

CREATE TABLE dead_letters (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    fingerprint    BLOB    NOT NULL UNIQUE,
    run            INTEGER NOT NULL REFERENCES runs (id),
    last_seen_run  INTEGER NOT NULL REFERENCES runs (id),
    pipeline       TEXT    NOT NULL,
    source         TEXT    NOT NULL,
    stream         TEXT    NOT NULL,
    stage          TEXT    NOT NULL,
    state          TEXT    NOT NULL CHECK (state IN ('open', 'replayed', 'resolved')),
    reason         TEXT    NOT NULL,
    place          TEXT    NOT NULL,
    raw            BLOB    NOT NULL,
    schema_version INTEGER NOT NULL,
    created_at_us  INTEGER NOT NULL,
    last_seen_at_us INTEGER NOT NULL,
    replayed_at_us INTEGER,
    resolved_at_us INTEGER
) STRICT;
CREATE INDEX dead_letters_by_place ON dead_letters (pipeline, source, stage, stream, state);
CREATE INDEX dead_letters_by_run ON dead_letters (run);

-- `value` and `previous` are encrypted: see token_key.rs.
CREATE TABLE tokens (
    account  TEXT    PRIMARY KEY,
    revision INTEGER NOT NULL,
    value    BLOB    NOT NULL,
    previous BLOB
) STRICT, WITHOUT ROWID;

CREATE TABLE notes (
    pipeline TEXT NOT NULL,
    source   TEXT NOT NULL,
    key      TEXT NOT NULL,
    value    TEXT NOT NULL,
    PRIMARY KEY (pipeline, source, key)
) STRICT, WITHOUT ROWID;
