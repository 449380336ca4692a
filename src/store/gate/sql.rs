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
/// Inside, a row is a tuple ((rank), first, end, live, (columns)), where `end` is the end of the
/// offsets that it lies on, as in the Rust gate; `hiders`, `taken` and `restless` are what
/// `possible_hiders` and `counting_of_lane` call so there. A roll without offsets is judged as a live
/// block is: to share an offset with it is to cover it. Rolls that are taken share no offset, so
/// the only one that can cover a live block is the last that starts at or before it: a running
/// maximum finds it, and rows are not compared with one another.
pub(in crate::store) fn counting_rows(database: &str, columns: &[&str]) -> String {
    let each = |expression: &dyn Fn(usize, &str) -> String| {
        let expressions: Vec<String> =
            columns.iter().enumerate().map(|(index, name)| expression(index + 1, name)).collect();
        expressions.join(", ")
    };
    let result = each(&|index, name| format!("tupleElement(tupleElement(row, 5), {index}) AS {name}"));
    let wanted = each(&|_, name| name.to_owned());
    let first_of_block = columns
        .iter()
        .filter(|name| !GATE_COLUMNS.contains(name))
        .map(|name| match *name {
            "published_at" => "min(p.published_at) AS published_at, ".to_owned(),
            name => format!("any(p.{name}) AS {name}, "),
        })
        .collect::<String>();
    format!(
        "SELECT {result}
FROM (
    SELECT row, restless,
        max(if(tupleElement(row, 4), {nothing}, {extent})) OVER (
            PARTITION BY lane ORDER BY tupleElement(row, 2)
            RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS roll
    FROM (
        SELECT lane,
            arrayJoin(arrayConcat(lives, arrayFilter(t -> NOT tupleElement(t, 4), taken))) AS row,
            arrayFilter(t -> tupleElement(t, 4), taken) AS restless
        FROM (
            SELECT lane, groupArrayIf(row, live) AS lives,
                arrayReverseSort(t -> tupleElement(t, 1), groupArrayIf(row, hides)) AS hiders,
                arrayFold((acc, h) -> if(
                    tupleElement(h, 4) OR NOT arrayExists(t ->
                        tupleElement(t, 2) < tupleElement(h, 3) AND tupleElement(h, 2) < tupleElement(t, 3), acc),
                    arrayPushBack(acc, h), acc), hiders, arrayResize(hiders, 0)) AS taken
            FROM (
                SELECT lane, live, row, first_offset < next_offset AND (NOT live OR reach > first_offset) AS hides
                FROM (
                    SELECT (topic, topic_id, partition) AS lane, kind = 'live' OR first_offset = next_offset AS live, first_offset, next_offset,
                        greatest(next_offset, first_offset + 1) AS end,
                        ((token, sequence, tenure, block), first_offset, end, live, tuple({wanted})) AS row,
                        max(end) OVER (
                            PARTITION BY topic, topic_id, partition ORDER BY token, sequence, tenure, block
                            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reach
                    FROM (
                        SELECT {first_of_block}p.block AS block, any(p.topic) AS topic, any(p.topic_id) AS topic_id,
                            any(p.partition) AS partition, any(p.token) AS token, any(p.sequence) AS sequence,
                            any(p.tenure) AS tenure, any(p.kind) AS kind, any(p.first_offset) AS first_offset,
                            any(p.next_offset) AS next_offset
                        FROM {database}.published AS p
                        WHERE p.kind = 'live' OR p.published_at <= now64(3) - INTERVAL 1 SECOND
                        GROUP BY p.block
                    )
                )
            )
            GROUP BY lane
        )
    )
)
WHERE NOT tupleElement(row, 4) OR NOT (
    tupleElement(roll, 2) >= tupleElement(row, 3) AND tupleElement(roll, 3) > tupleElement(row, 1)
    OR arrayExists(t -> tupleElement(t, 1) > tupleElement(row, 1)
        AND tupleElement(t, 2) <= tupleElement(row, 2) AND tupleElement(row, 3) <= tupleElement(t, 3), restless))",
        nothing = "(toInt64(-1), toInt64(-1), (toUInt64(0), toUInt64(0), toUInt128(0), toUInt128(0)))",
        extent = "(tupleElement(row, 2), tupleElement(row, 3), tupleElement(row, 1))",
    )
}

/// What the gate itself reads.
const GATE_COLUMNS: &[&str] = &[
    "topic",
    "topic_id",
    "partition",
    "token",
    "sequence",
    "tenure",
    "block",
    "kind",
    "first_offset",
    "next_offset",
];
