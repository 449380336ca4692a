//! The gate in SQL, for statements that read the ledger and rows at once.
//!
//! It reads the ledger exactly once, so that it judges one state of it: two reads could see a roll
//! in one and miss it in the other. It uses rolls and recounts only from a second after they were
//! published, and until then what they cover: a statement fixes which rows it sees before it
//! evaluates this, so a roll that appears in between would be looked for in vain.

/// A statement that gives the `block` of every row of the ledger that counts.
pub(in crate::store) fn counting_blocks(database: &str) -> String {
    counting_rows(database, &["block"])
}

/// A statement that gives every row of the ledger that counts: the named columns of its table.
///
/// A row is a tuple (1: its number by rank within the lane, 2: first offset, 3: the end of the
/// offsets that it lies on, 4: live, 5: its columns, 6: without offsets). `hiders`, `taken` and `restless` are what
/// `possible_hiders` and `counting_of_lane` in the Rust gate call so. A roll without offsets is
/// judged as a live block is: to share an offset with it is to cover it.
///
/// Rolls that are taken share no offset, so the only one that can cover a live block is the last
/// that starts at or before it. Two running maxima find that one's end and number, packed behind
/// its start, so rows are not compared with one another.
pub(in crate::store) fn counting_rows(database: &str, columns: &[&str]) -> String {
    let columns_of_row: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(index, name)| format!("tupleElement(row.5, {}) AS {name}", index + 1))
        .collect();
    format!(
        "SELECT {result}
FROM (
    SELECT topic AS lane_topic, topic_id AS lane_topic_id, partition AS lane_partition,
        groupArrayIf(entry, live AND NOT repeated) AS lives,
        arrayReverseSort(t -> t.1, groupArrayIf(entry, NOT repeated AND first < next AND (NOT live OR reach > first)))
            AS hiders,
        arrayFold((acc, h) -> if(h.4 OR NOT arrayExists(t -> t.2 < h.3 AND h.2 < t.3, acc), arrayPushBack(acc, h), acc),
            hiders, arrayResize(hiders, 0)) AS taken,
        arrayFilter(t -> t.4, taken) AS restless
    FROM (
        SELECT topic, topic_id, partition, kind = 'live' OR first_offset = next_offset AS live,
            first_offset AS first, next_offset AS next, greatest(next_offset, first_offset + 1) AS end,
            row_number() OVER by_rank AS number, number > 1 AND lagInFrame(block) OVER by_rank = block AS repeated,
            max(end) OVER (by_rank ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reach,
            (number, first, end, live, tuple({wanted}), first = next) AS entry
        FROM {database}.published
        WHERE kind = 'live' OR published_at <= now64(3) - INTERVAL 1 SECOND
        WINDOW by_rank AS (
            PARTITION BY topic, topic_id, partition ORDER BY token, sequence, tenure, block, published_at)
    )
    GROUP BY topic, topic_id, partition
)
ARRAY JOIN arrayConcat(lives, arrayFilter(t -> NOT t.4, taken)) AS row
WINDOW so_far AS (
    PARTITION BY lane_topic, lane_topic_id, lane_partition ORDER BY row.2
    RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
QUALIFY NOT row.4 OR NOT (
    max(if(row.4, -1, row.3)) OVER so_far >= row.3
    AND bitAnd({last_roll}, {low_half}) > row.1
    AND (NOT row.6 OR bitShiftRight({last_roll}, 64) < toUInt128(row.2 + 1))
    OR NOT row.6 AND arrayExists(t -> t.1 > row.1 AND t.2 <= row.2 AND row.3 <= t.3, restless))",
        result = columns_of_row.join(", "),
        wanted = columns.join(", "),
        last_roll = "max(if(row.4, toUInt128(0), bitShiftLeft(toUInt128(row.2 + 1), 64) + row.1)) OVER so_far",
        low_half = u64::MAX,
    )
}
