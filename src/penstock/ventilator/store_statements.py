"""What the ventilator's store says to SQLite."""

from __future__ import annotations

ADD_BATCH = """
    INSERT INTO batch (batch, spec, function, created_time, accepted, counts, cancelled, generation, asked)
    VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, 0, ?6)
    ON CONFLICT (batch) DO NOTHING"""
ADD_FUNCTION = """
    INSERT INTO function (digest, users, crc, code) VALUES (?, 1, ?, ?)
    ON CONFLICT (digest) DO UPDATE SET users = users + 1"""
ADD_CHUNK = """
    INSERT INTO chunk (batch, first, count, size, payload)
    VALUES ((SELECT number FROM batch WHERE batch = ?), ?, ?, ?, ?) ON CONFLICT (batch, first) DO NOTHING"""
ADD_PAYLOAD = "INSERT INTO payload (number, crc, bytes) VALUES (?, ?, ?)"
ADD_DIGESTS = "INSERT INTO digest (batch, first, digests) VALUES ((SELECT number FROM batch WHERE batch = ?), ?, ?)"
DIGESTS = """
    SELECT first, digests FROM digest
    WHERE batch = (SELECT number FROM batch WHERE batch = ?1) AND first >= coalesce(
        (SELECT max(first) FROM digest
        WHERE batch = (SELECT number FROM batch WHERE batch = ?1) AND first <= ?2), 0)
    ORDER BY first"""
DELETE_DIGESTS = "DELETE FROM digest WHERE batch = ?1 AND first IN (SELECT first FROM digest WHERE batch = ?1 LIMIT ?2)"
SET_ACCEPTED = "UPDATE batch SET accepted = max(accepted, ?) WHERE batch = ?"
FINISH = """
    UPDATE chunk SET parts = NULL, ended = ?, finished = ?, finished_time = ?
    WHERE batch = (SELECT number FROM batch WHERE batch = ?) AND first = ? AND finished IS NULL RETURNING size"""
SET_PARTS = """
    UPDATE chunk SET parts = ?, ended = ?
    WHERE batch = (SELECT number FROM batch WHERE batch = ?) AND first = ? AND finished IS NULL RETURNING 1"""
SET_ENDED = "UPDATE chunk SET ended = ? WHERE batch = (SELECT number FROM batch WHERE batch = ?) AND first = ?"
OPEN_AGAIN = """
    UPDATE chunk SET parts = ?, ended = ?, finished = NULL, finished_time = NULL
    WHERE batch = (SELECT number FROM batch WHERE batch = ?) AND first = ? RETURNING size"""
SET_RETRIED = "UPDATE batch SET generation = ?, asked = ? WHERE batch = ?"
BATCHES = """
    SELECT batch, spec, function, created_time, accepted, total, counts, cancelled, generation, asked, ended_time,
        (SELECT length(code) FROM function WHERE digest = batch.function),
        (SELECT first FROM chunk INDEXED BY chunk_open
         WHERE chunk.batch = number AND finished IS NULL ORDER BY first LIMIT 1)
    FROM batch ORDER BY number"""
OPEN_CHUNKS = """
    SELECT first, count, size, parts, ended FROM chunk INDEXED BY chunk_open
    WHERE batch = (SELECT number FROM batch WHERE batch = ?) AND first >= ? AND finished IS NULL
    ORDER BY first LIMIT ?"""
CHUNK_AT = """
    SELECT first, count, size, parts, ended, finished FROM chunk
    WHERE batch = (SELECT number FROM batch WHERE batch = ?) AND first <= ? ORDER BY first DESC LIMIT 1"""
KEPT = """
    SELECT first, count, size, parts, ended, finished FROM chunk
    WHERE batch = (SELECT number FROM batch WHERE batch = ?1) AND first < ?3 AND first + count > ?2
        AND first >= coalesce((SELECT first FROM chunk WHERE batch = (SELECT number FROM batch WHERE batch = ?1)
            AND first <= ?2 ORDER BY first DESC LIMIT 1), 0)
    ORDER BY first"""
PAYLOAD = """
    SELECT payload.crc, payload.bytes FROM chunk JOIN payload ON payload.number = chunk.payload
    WHERE chunk.batch = (SELECT number FROM batch WHERE batch = ?) AND chunk.first = ?"""
OLDEST_FINISHED = """
    SELECT batch, first, size, payload, finished_time FROM chunk INDEXED BY chunk_finished
    WHERE finished IS NOT NULL ORDER BY finished_time LIMIT ?"""
DOOMED_CHUNKS = "SELECT first, size, payload, finished FROM chunk WHERE batch = ? ORDER BY first LIMIT ?"
