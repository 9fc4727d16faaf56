"""Tables and states of `records.db`. Text columns that hold a time are UTC, `2026-12-01T10:00:00.000000Z`."""

from autograder.records import staff

APPLICATION_ID = 0x43475231  # "CGR1": tells our file from any other SQLite file
SCHEMA_VERSION = 3

# state -> states that may follow. Back to `queued`: a crash, an error of ours, a new hidden set or scorer.
TRANSITIONS: dict[str, frozenset[str]] = {
    "received": frozenset({"validated", "REJECTED"}),
    "validated": frozenset({"queued", "REJECTED"}),
    "queued": frozenset({"running"}),
    "running": frozenset({"predicted", "FAILED", "ERROR", "queued"}),
    "predicted": frozenset({"scored", "FAILED", "ERROR", "queued"}),
    "scored": frozenset({"published", "queued"}),
    "published": frozenset({"queued"}),
    "REJECTED": frozenset(),
    "FAILED": frozenset({"queued"}),
    "ERROR": frozenset({"queued"}),
}
STATES = tuple(TRANSITIONS)


def _append_only(table: str) -> str:
    return f"""
CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table}
BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END;
CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table}
BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END;
"""


SQL = f"""
CREATE TABLE submission (
    id INTEGER PRIMARY KEY,
    exercise TEXT NOT NULL,
    student TEXT NOT NULL,
    sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
    received_at TEXT NOT NULL,
    late INTEGER NOT NULL CHECK (late IN (0, 1)),
    state TEXT NOT NULL CHECK (state IN ({", ".join(repr(state) for state in STATES)})),
    code TEXT NOT NULL DEFAULT '',
    detail TEXT NOT NULL DEFAULT '',
    judged_with TEXT NOT NULL DEFAULT '',    -- "dataset version/scorer version" of the last verdict
    errors INTEGER NOT NULL DEFAULT 0,       -- how often an error of ours hit it; such rows queue last
    held_by TEXT NOT NULL DEFAULT '',        -- holder of the lease under which it is worked on now
    created_at TEXT NOT NULL
) STRICT;
-- one row for one hand-in; a refused one may be handed in again when it is no longer refused (quota, extension)
CREATE UNIQUE INDEX submission_once ON submission (exercise, student, sha256) WHERE state <> 'REJECTED';
CREATE INDEX submission_by_student ON submission (exercise, student, sha256);
CREATE TABLE file (
    submission_id INTEGER NOT NULL REFERENCES submission (id),
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (submission_id, name)
) STRICT;
CREATE INDEX file_by_sha256 ON file (sha256);
CREATE TABLE prediction (
    submission_id INTEGER NOT NULL REFERENCES submission (id),
    model_file TEXT NOT NULL,
    judged_with TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    parameters INTEGER NOT NULL,             -- of the model, as its check counted them
    sandboxed INTEGER NOT NULL CHECK (sandboxed IN (0, 1)),
    created_at TEXT NOT NULL,
    PRIMARY KEY (submission_id, model_file, judged_with)
) STRICT;
CREATE TABLE result (
    id INTEGER PRIMARY KEY,
    submission_id INTEGER NOT NULL REFERENCES submission (id),
    model_file TEXT NOT NULL,
    dataset_version TEXT NOT NULL,
    scorer_version TEXT NOT NULL,
    correct INTEGER NOT NULL CHECK (correct BETWEEN 0 AND total),
    total INTEGER NOT NULL CHECK (total > 0),
    non_finite INTEGER NOT NULL,
    parameters INTEGER NOT NULL,
    model_bytes INTEGER NOT NULL,
    sandboxed INTEGER NOT NULL CHECK (sandboxed IN (0, 1)),
    public_right BLOB NOT NULL DEFAULT x'',  -- a bit per image of the public half, 1 = right; empty = not kept
    private_right BLOB NOT NULL DEFAULT x'', -- the same of the private half
    created_at TEXT NOT NULL,
    UNIQUE (submission_id, model_file, dataset_version, scorer_version)
) STRICT;
CREATE TABLE baseline (
    id INTEGER PRIMARY KEY,
    exercise TEXT NOT NULL,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,                    -- of the staff's model file
    dataset_version TEXT NOT NULL,
    scorer_version TEXT NOT NULL,
    correct INTEGER NOT NULL CHECK (correct BETWEEN 0 AND total),
    total INTEGER NOT NULL CHECK (total > 0),
    parameters INTEGER NOT NULL,
    model_bytes INTEGER NOT NULL,
    sandboxed INTEGER NOT NULL CHECK (sandboxed IN (0, 1)),
    public_right BLOB NOT NULL,
    private_right BLOB NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (exercise, name, sha256, dataset_version, scorer_version)
) STRICT;
CREATE TABLE notebook_result (
    id INTEGER PRIMARY KEY,
    submission_id INTEGER NOT NULL REFERENCES submission (id),
    snapshot_sha TEXT NOT NULL,
    points REAL NOT NULL,
    max_points REAL NOT NULL,
    tasks TEXT NOT NULL,                     -- JSON: task id -> [points, max_points, message]
    state TEXT NOT NULL CHECK (state IN ('graded', 'FAILED')),
    code TEXT NOT NULL,
    detail TEXT NOT NULL,
    sandboxed INTEGER NOT NULL CHECK (sandboxed IN (0, 1)),
    suspicions TEXT NOT NULL DEFAULT '[]',   -- JSON list, for staff only
    attempt INTEGER NOT NULL DEFAULT 0,      -- raised by a regrade on the same release
    created_at TEXT NOT NULL,
    UNIQUE (submission_id, snapshot_sha, attempt)
) STRICT;
CREATE TABLE lease (                         -- of the one grading run; at most one row
    holder TEXT PRIMARY KEY,                 -- "host:process id:when it started"
    until TEXT NOT NULL                      -- silent since before: void
) STRICT;
CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    submission_id INTEGER NOT NULL REFERENCES submission (id),
    at TEXT NOT NULL,
    what TEXT NOT NULL,
    code TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX event_by_submission ON event (submission_id);
{staff.SQL}
{"".join(map(_append_only, ("result", "baseline", "notebook_result", "event", "file", *staff.TABLES)))}
CREATE TRIGGER submission_no_delete BEFORE DELETE ON submission
BEGIN SELECT RAISE(ABORT, 'submissions are never deleted'); END;
CREATE TRIGGER submission_facts BEFORE UPDATE OF id, exercise, student, sha256, received_at, late, created_at
ON submission BEGIN SELECT RAISE(ABORT, 'who handed in what and when never changes'); END;
CREATE VIEW best AS
SELECT * FROM (
    SELECT s.exercise, s.student, s.received_at, s.flags, r.*,
        row_number() OVER (
            PARTITION BY s.exercise, s.student, r.model_file, r.dataset_version, r.scorer_version
            ORDER BY r.correct DESC, s.received_at, s.id
        ) AS place
    FROM result AS r JOIN submission_now AS s ON s.id = r.submission_id
    WHERE s.state <> 'REJECTED' AND NOT s.withdrawn
) WHERE place = 1;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""
