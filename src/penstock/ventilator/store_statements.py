"""What the ventilator's store says to SQLite."""

from __future__ import annotations

from penstock.station.checked_rows import CheckedTable

META = CheckedTable(
    "meta",
    *("one", "life", "applied", "chain", "kept_bytes", "pipeline", "paired", "accepted", "compare"),
    *("paused_time", "paused_by", "schema"),
)
FUNCTION = CheckedTable("function", "digest", "users", "crc")
BATCH = CheckedTable(
    "batch",
    *("number", "batch", "spec", "function", "created_time", "accepted", "total", "counts", "cancelled"),
    *("ended_time", "generation", "asked", "damaged", "name", "once", "retained_until", "clock"),
)
CHUNK = CheckedTable(
    "chunk", "batch", "first", "count", "size", "payload", "crc", "parts", "ended", "finished", "finished_time"
)
DIGEST = CheckedTable("digest", "batch", "first", "digests")
DOOMED = CheckedTable("doomed", "number")
FORGOTTEN = CheckedTable("forgotten", "batch")
DELETED = CheckedTable("deleted", "number", "batch", "kind", "why")
EVENT = CheckedTable("event", "number", "time", "event", "batch", "fields")

OWN = "row_sum('payload', chunk.batch, chunk.first, chunk.count, chunk.size, chunk.payload, payload.crc)"
"""What a chunk has for `crc` if this payload is its own, and it stands where it was."""
OF_BATCH = "batch = (SELECT number FROM batch WHERE batch = ?1)"

ADD_BATCH = """
    INSERT INTO batch (
        batch, spec, function, created_time, accepted, counts, cancelled, generation, asked, name, once)
    VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, 0, ?6, ?7, ?8)
    ON CONFLICT (batch) DO NOTHING"""
SUM_BATCH = f"{BATCH.write()} WHERE batch = ?1"
ADD_FUNCTION = f"""
    INSERT INTO function (digest, users, crc, code, sum)
    VALUES (?1, 1, ?2, ?3, {FUNCTION.sum(digest="?1", users="1", crc="?2")})
    ON CONFLICT (digest) DO UPDATE SET users = users + 1, sum = {FUNCTION.new_sum(users="users + 1")}"""
DROP_USER = f"{FUNCTION.change(users='users - 1')} WHERE digest = ?1"
FUNCTION_CODE = f"SELECT {FUNCTION.is_sound}, crc, code FROM function WHERE digest = ?"
NEW_OWN = "row_sum('payload', number, ?2, ?3, ?4, ?5, ?6)"
ADD_CHUNK = f"""
    INSERT INTO chunk (batch, first, count, size, payload, crc, sum)
    SELECT number, ?2, ?3, ?4, ?5, {NEW_OWN}, {
    CHUNK.sum(
        batch="number",
        first="?2",
        count="?3",
        size="?4",
        payload="?5",
        crc=NEW_OWN,
        parts="NULL",
        ended="NULL",
        finished="NULL",
        finished_time="NULL",
    )
}
    FROM batch WHERE batch = ?1 ON CONFLICT (batch, first) DO NOTHING"""
ADD_PAYLOAD = "INSERT INTO payload (number, crc, bytes) VALUES (?, ?, ?)"
ADD_DIGESTS = f"""
    INSERT INTO digest (batch, first, digests, sum)
    SELECT number, ?2, ?3, {DIGEST.sum(batch="number", first="?2", digests="?3")} FROM batch WHERE batch = ?1"""
DIGESTS = f"""
    SELECT {DIGEST.is_sound}, first, digests FROM digest
    WHERE {OF_BATCH} AND first >= coalesce((SELECT max(first) FROM digest WHERE {OF_BATCH} AND first <= ?2), 0)
    ORDER BY first"""
ACCEPTED = "SELECT accepted FROM batch WHERE batch = ?"
DELETE_DIGESTS = "DELETE FROM digest WHERE batch = ?1 AND first IN (SELECT first FROM digest WHERE batch = ?1 LIMIT ?2)"
SET_ACCEPTED = f"{BATCH.change(accepted='max(accepted, ?2)')} WHERE batch = ?1"
SET_TOTAL = f"{BATCH.change(total='?2')} WHERE batch = ?1"
SET_COUNTS = f"{BATCH.change(counts='?2')} WHERE batch = ?1"
SET_CANCELLED = f"{BATCH.change(cancelled='?2')} WHERE batch = ?1"
SET_SPEC = f"{BATCH.change(spec='?2')} WHERE batch = ?1"
SET_ENDED_TIME = f"{BATCH.change(ended_time='?2', retained_until='?2 + ?3', clock='?4')} WHERE batch = ?1"
SET_CLOCK = f"""
    {BATCH.change(ended_time="ended_time + ?1", retained_until="retained_until + ?1", clock="?3")}
    WHERE ended_time IS NOT NULL AND clock = ?2"""
SET_RETRIED = f"{BATCH.change(generation='?2', asked='?3')} WHERE batch = ?1"
FINISH = f"""
    {CHUNK.change(parts="NULL", ended="?3", finished="?4", finished_time="?5")}
    WHERE {OF_BATCH} AND first = ?2 AND finished IS NULL RETURNING size"""
SET_PARTS = f"""
    {CHUNK.change(parts="?3", ended="?4")} WHERE {OF_BATCH} AND first = ?2 AND finished IS NULL RETURNING 1"""
SET_ENDED = f"{CHUNK.change(ended='?3')} WHERE {OF_BATCH} AND first = ?2"
OPEN_AGAIN = f"""
    {CHUNK.change(parts="?3", ended="?4", finished="NULL", finished_time="NULL")}
    WHERE {OF_BATCH} AND first = ?2 RETURNING size"""
BATCH_ROWS = f"""
    SELECT {BATCH.is_sound}, number, damaged, batch, spec, function, created_time, accepted, total, counts, cancelled,
        generation, asked, ended_time,
        (SELECT length(code) FROM function WHERE digest = batch.function),
        (SELECT first FROM chunk INDEXED BY chunk_open
         WHERE chunk.batch = number AND finished IS NULL ORDER BY first LIMIT 1),
        EXISTS (SELECT 1 FROM event WHERE event.batch = batch.batch AND event = 'started')
    FROM batch"""
ALL_BATCHES = f"{BATCH_ROWS} ORDER BY number"
BATCHES_HERE = f"{BATCH_ROWS} INDEXED BY batch_here WHERE ended_time IS NULL ORDER BY number"
BATCH_OF_ID = f"{BATCH_ROWS} WHERE batch = ?"
BATCH_OF_WORD = f"{BATCH_ROWS} INDEXED BY batch_once WHERE once = ? AND once != '' ORDER BY number DESC LIMIT 1"
BATCHES_EXPIRED = f"""
    {BATCH_ROWS} INDEXED BY batch_retained WHERE ended_time IS NOT NULL AND retained_until < ?
    ORDER BY retained_until LIMIT ?"""
NEXT_BATCH = f"{BATCH_ROWS} WHERE batch > ? ORDER BY batch LIMIT 1"
NEWEST_BATCHES = f"{BATCH_ROWS} WHERE batch BETWEEN ? AND ? ORDER BY batch DESC LIMIT ?"
BATCH_OF_NAME = f"{BATCH_ROWS} INDEXED BY batch_name WHERE name = ? AND name != '' ORDER BY batch DESC LIMIT 1"
BATCHES_THAT_END = f"{BATCH_ROWS} WHERE lower(hex(batch)) LIKE '%' || ? ORDER BY batch DESC LIMIT ?"
BATCHES_ENDED = "SELECT count(*), min(ended_time) FROM batch INDEXED BY batch_retained WHERE ended_time IS NOT NULL"
CHUNK_ROW = f"{CHUNK.is_sound}, batch, first, count, size, parts, ended, finished"
OPEN_CHUNKS = f"""
    SELECT {CHUNK_ROW} FROM chunk INDEXED BY chunk_open
    WHERE {OF_BATCH} AND first >= ?2 AND finished IS NULL
    ORDER BY first LIMIT ?3"""
CHUNK_AT = f"SELECT {CHUNK_ROW} FROM chunk WHERE {OF_BATCH} AND first <= ?2 ORDER BY first DESC LIMIT 1"
KEPT = f"""
    SELECT {CHUNK_ROW} FROM chunk
    WHERE {OF_BATCH} AND first < ?3 AND first + count > ?2
        AND first >= coalesce((SELECT first FROM chunk WHERE {OF_BATCH} AND first <= ?2 ORDER BY first DESC LIMIT 1), 0)
    ORDER BY first"""
PAYLOAD = f"""
    SELECT {CHUNK.is_sound} AND chunk.crc = {OWN}, payload.crc, payload.bytes
    FROM chunk JOIN payload ON payload.number = chunk.payload WHERE chunk.{OF_BATCH} AND chunk.first = ?2"""
OLDEST_FINISHED = f"""
    SELECT batch, first, size, payload, finished_time, {CHUNK.is_sound} FROM chunk INDEXED BY chunk_finished
    WHERE finished IS NOT NULL ORDER BY finished_time LIMIT ?"""
DOOMED_CHUNKS = f"""
    SELECT first, size, payload, finished, {CHUNK.is_sound} FROM chunk WHERE batch = ? ORDER BY first LIMIT ?"""
ADD_DOOMED = f"INSERT INTO doomed (number, sum) VALUES (?1, {DOOMED.sum(number='?1')})"
ADD_FORGOTTEN = f"INSERT OR IGNORE INTO forgotten (batch, sum) VALUES (?1, {FORGOTTEN.sum(batch='?1')})"
ADD_EVENT = f"""
    INSERT OR IGNORE INTO event (number, time, event, batch, fields, sum)
    VALUES (?1, ?2, ?3, ?4, ?5, {EVENT.sum(number="?1", time="?2", event="?3", batch="?4", fields="?5")})"""
DROP_EVENTS = "DELETE FROM event WHERE number <= ?"
LAST_EVENT = "SELECT coalesce(max(number), 0) FROM event"
EVENTS = f"""
    SELECT {EVENT.is_sound}, number, time, event, batch, fields FROM event WHERE number > ? ORDER BY number LIMIT ?"""
ADD_DELETED = "INSERT INTO deleted (batch, kind, why, sum) VALUES (?, ?, ?, 0)"
SUM_DELETED = f"{DELETED.write()} WHERE number = last_insert_rowid()"
