"""What the sink's store says to SQLite."""

from __future__ import annotations

from penstock.station.checked_rows import CheckedTable

META = CheckedTable(
    "meta",
    "one",
    "seq",
    "chain",
    "hole",
    "hole_chain",
    "pipeline",
    "life",
    "accepted",
    "damaged",
    "schema",
    "uncounted",
)
BATCH = CheckedTable("batch", "number", "batch", "longest", "as_of", "spans", "generations", "attempts")
LINE = CheckedTable("line", "seq", "batch", "start", "stop", "kind", "worker", "chain", "crc", "head")
CLAIM = CheckedTable("claim", "batch", "reader", "number", "start", "stop")
DOOMED = CheckedTable("doomed", "number")
OUTPUT = CheckedTable("output", "batch", "job", "lease", "stream", "position", "crc")
DOOMED_OUTPUT = CheckedTable("doomed_output", "batch", "bound")
GROUP = CheckedTable(
    "failure_group", "batch", "key", "jobs", "first_time", "last_time", "pattern", "workers", "examples"
)
UNCOUNTED = CheckedTable("uncounted_opening", "seq", "batch", "start", "stop")

ADD_BATCH = """
    INSERT INTO batch (batch, longest, as_of, spans, generations, attempts) VALUES (?1, ?2, 0, ?3, ?3, ?3)
    ON CONFLICT (batch) DO NOTHING"""
SUM_BATCH = f"{BATCH.write()} WHERE batch = ?1"
SET_LONGEST = f"{BATCH.change(longest='?2')} WHERE batch = ?1 AND longest < ?2"
ADD_LINE = f"""
    INSERT INTO line (seq, batch, start, stop, kind, worker, chain, crc, sum, head, body)
    SELECT ?1, number, ?3, ?4, ?5, ?6, ?7, ?8, {
    LINE.sum(seq="?1", batch="number", start="?3", stop="?4", kind="?5", worker="?6", chain="?7", crc="?8", head="?9")
}, ?9, ?10
    FROM batch WHERE batch = ?2 ON CONFLICT (seq) DO NOTHING"""
SET_RECORDED = f"{BATCH.change(as_of='?2', spans='?3', generations='?4', attempts='?5')} WHERE batch = ?1"
RECORDED = f"""
    SELECT {BATCH.is_sound}, number, batch, as_of, spans, generations, attempts,
        (SELECT seq FROM line INDEXED BY line_position WHERE line.batch = number ORDER BY seq DESC LIMIT 1)
    FROM batch"""
ALL_RECORDED = f"{RECORDED} ORDER BY number"
RECORDED_OF = f"{RECORDED} WHERE batch = ?"
CLAIMS_OF = f"""
    SELECT batch.batch, reader, claim.number, start, stop FROM batch JOIN claim ON claim.batch = batch.number
    WHERE batch.batch = ? AND {CLAIM.is_sound}"""
SET_CLAIM = f"""
    INSERT OR REPLACE INTO claim (batch, reader, number, start, stop, sum)
    SELECT number, ?2, ?3, ?4, ?5, {CLAIM.sum(batch="number", reader="?2", number="?3", start="?4", stop="?5")}
    FROM batch WHERE batch = ?1"""
LINES_SINCE = f"""
    SELECT {LINE.is_sound}, seq, head FROM line INDEXED BY line_position WHERE batch = ? AND seq > ? ORDER BY seq"""
ROWS_AFTER = f"""
    SELECT {LINE.is_sound}, seq, kind, crc, head, body FROM line INDEXED BY line_position
    WHERE batch = (SELECT number FROM batch WHERE batch = ?) AND seq > ? ORDER BY seq LIMIT ?"""
ROWS_IN = f"""
    SELECT {LINE.is_sound}, seq, crc, head, body FROM line INDEXED BY line_start
    WHERE batch = (SELECT number FROM batch WHERE batch = ?1) AND start < ?3 AND stop > ?2
        AND start >= max(?4, ?2 + 1 - (SELECT longest FROM batch WHERE batch = ?1)) AND (start > ?4 OR seq > ?5)
    ORDER BY start, seq LIMIT ?6"""
LINES_IN = f"""
    SELECT {LINE.is_sound}, seq, kind, head FROM line INDEXED BY line_start
    WHERE batch = (SELECT number FROM batch WHERE batch = ?1) AND start < ?3 AND stop > ?2
        AND start >= max(?4, ?2 + 1 - (SELECT longest FROM batch WHERE batch = ?1)) AND (start > ?4 OR seq > ?5)
    ORDER BY start, seq"""
HAS_OPENINGS = """
    SELECT 1 FROM line INDEXED BY line_opening WHERE batch = (SELECT number FROM batch WHERE batch = ?) AND kind = 2
    LIMIT 1"""
OPENINGS = """
    SELECT start, stop FROM line INDEXED BY line_opening
    WHERE batch = (SELECT number FROM batch WHERE batch = ?1) AND kind = 2 AND start < ?3 AND stop > ?2
        AND start > ?2 - (SELECT longest FROM batch WHERE batch = ?1) AND seq > ?4"""
CHAIN_AT = f"SELECT {LINE.is_sound}, seq, chain FROM line WHERE seq = ?"
LOG_AFTER = f"SELECT {LINE.is_sound}, seq, worker, chain, head FROM line WHERE seq > ? ORDER BY seq LIMIT ?"
LINES_AFTER = f"""
    SELECT {LINE.is_sound}, seq, worker, chain, head FROM line
    WHERE seq > ? AND batch IN (SELECT number FROM batch) ORDER BY seq LIMIT ?"""
LAST_LINE = f"""
    SELECT {LINE.is_sound}, seq, chain FROM line INDEXED BY line_position WHERE batch = ? ORDER BY seq DESC LIMIT 1"""
DOOMED_LINES = "SELECT seq, length(body) FROM line INDEXED BY line_position WHERE batch = ? ORDER BY seq LIMIT ?"
ADD_DOOMED = f"INSERT INTO doomed (number, sum) VALUES (?1, {DOOMED.sum(number='?1')})"

PART = f"""
    SELECT {OUTPUT.is_sound}, rowid, position, crc, data FROM output
    WHERE batch = ?1 AND job = ?2 AND lease = ?3 AND stream = ?4
        AND position >= coalesce((SELECT max(position) FROM output WHERE batch = ?1 AND job = ?2 AND lease = ?3
            AND stream = ?4 AND position <= ?5), 0)
    ORDER BY position LIMIT 2"""
ADD_PART = f"""
    INSERT INTO output (batch, job, lease, stream, position, crc, data, sum)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, {
    OUTPUT.sum(batch="?1", job="?2", lease="?3", stream="?4", position="?5", crc="?6")
})
    ON CONFLICT (batch, job, lease, stream, position) DO NOTHING"""
DOOM = f"""
    INSERT INTO doomed_output (batch, bound, sum)
    SELECT ?1, ?2, {DOOMED_OUTPUT.sum(batch="?1", bound="?2")} WHERE EXISTS (SELECT 1 FROM output WHERE batch = ?1)
    ON CONFLICT (batch) DO UPDATE SET bound = min(bound, ?2), sum = {DOOMED_OUTPUT.new_sum(bound="min(bound, ?2)")}"""
DOOMED_PARTS = "SELECT rowid, length(data) FROM output WHERE batch = ?1 LIMIT ?2"
TRIMMED_PARTS = """
    SELECT rowid, length(data) FROM output AS part WHERE batch = ?1 AND position >= ?3 AND position < (
        SELECT max(position) FROM output WHERE batch = ?1 AND job = part.job AND lease = part.lease
            AND stream = part.stream) - ?3
    LIMIT ?2"""
LAST_FINAL = f"""
    SELECT {LINE.is_sound}, seq, head FROM line INDEXED BY line_start
    WHERE batch = (SELECT number FROM batch WHERE batch = ?1) AND start <= ?2 AND stop > ?2
        AND start > ?2 - (SELECT longest FROM batch WHERE batch = ?1) AND kind = 1
    ORDER BY seq DESC LIMIT 1"""

GROUP_AT = f"""
    SELECT {GROUP.is_sound}, pattern, jobs, first_time, last_time, workers, examples FROM failure_group
    WHERE batch = ?1 AND key = ?2"""
SET_GROUP = f"""
    INSERT OR REPLACE INTO failure_group (batch, key, pattern, jobs, first_time, last_time, workers, examples, sum)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, {
    GROUP.sum(
        batch="?1",
        key="?2",
        pattern="?3",
        jobs="?4",
        first_time="?5",
        last_time="?6",
        workers="?7",
        examples="?8",
    )
})"""
DELETE_GROUP = "DELETE FROM failure_group WHERE batch = ?1 AND key = ?2"
COUNT_GROUPS = "SELECT count(*) FROM failure_group WHERE batch = ?"
ADD_UNCOUNTED = f"""
    INSERT INTO uncounted_opening (seq, batch, start, stop, sum)
    VALUES (?1, ?2, ?3, ?4, {UNCOUNTED.sum(seq="?1", batch="?2", start="?3", stop="?4")})"""
FIRST_UNCOUNTED = "SELECT seq, batch, start, stop FROM uncounted_opening ORDER BY seq LIMIT 1"
ENDS_BEFORE = f"""
    SELECT head FROM line INDEXED BY line_start
    WHERE batch = ?1 AND start < ?3 AND stop > ?2
        AND start > ?2 - (SELECT longest FROM batch WHERE number = ?1) AND kind > 0 AND seq > ?4 AND seq < ?5
        AND {LINE.is_sound}
    ORDER BY seq"""
FINALS_DOWN = f"""
    SELECT seq, batch, head FROM line NOT INDEXED WHERE seq <= ?1 AND seq > ?1 - ?2 AND kind = 1
        AND batch IN (SELECT number FROM batch) AND {LINE.is_sound}
    ORDER BY seq DESC"""
COUNT_ANEW = (
    "DELETE FROM failure_group",
    "DELETE FROM uncounted_opening",
    META.change(uncounted="seq"),
)
GROUPS = f"""
    SELECT {GROUP.is_sound}, number, batch.batch, key, pattern, jobs, first_time, last_time, workers, examples
    FROM failure_group JOIN batch ON number = failure_group.batch
    WHERE (failure_group.batch, key) > (?1, ?2)"""
GROUPS_OF_ALL = f"{GROUPS} ORDER BY failure_group.batch, key LIMIT ?3"
GROUPS_OF = f"{GROUPS} AND failure_group.batch = (SELECT number FROM batch WHERE batch = ?4) ORDER BY key LIMIT ?3"
