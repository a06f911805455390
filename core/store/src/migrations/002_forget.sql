-- People who are to be forgotten. A request is open until everything of the pipeline was gone over; its
-- marks stay, so that the same person's records are dropped whenever they come again.
CREATE TABLE forget_requests (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    pipeline       TEXT    NOT NULL,
    begun_at_us    INTEGER NOT NULL,
    finished_at_us INTEGER,
    report         TEXT
) STRICT;
CREATE INDEX forget_requests_open ON forget_requests (pipeline) WHERE finished_at_us IS NULL;

-- `mark` is a keyed hash of an identifier (forget.key): nobody reads the identifier out of it. `region` is
-- the country of a phone, so that its national form is known too.
CREATE TABLE forget_marks (
    pipeline TEXT    NOT NULL,
    mark     BLOB    NOT NULL,
    region   TEXT,
    request  INTEGER NOT NULL REFERENCES forget_requests (id),
    PRIMARY KEY (pipeline, mark)
) STRICT, WITHOUT ROWID;
