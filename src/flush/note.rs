use std::fmt;
use std::str::FromStr;

use crate::aggregate::{BlockId, BlockKind, LedgerRow};

/// What a commit says beside its offset: the block that it publishes. Fewer than 256 bytes, of
/// printable ASCII: `odometer/1 live TOPIC_ID BLOCK TOKEN FIRST NEXT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitNote {
    pub kind: BlockKind,
    /// Tells the commit of an earlier topic of the same name.
    pub topic_id: String,
    pub block: BlockId,
    pub token: u64,
    pub first: i64,
    pub next: i64,
}

const MAGIC: &str = "odometer/1";

impl CommitNote {
    pub fn of(row: &LedgerRow) -> Self {
        Self {
            kind: row.kind,
            topic_id: row.lane.topic_id.to_string(),
            block: row.block,
            token: row.token,
            first: row.first_offset,
            next: row.next_offset,
        }
    }
}

impl fmt::Display for CommitNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, topic_id, block, token, first, next } = self;
        write!(f, "{MAGIC} {} {topic_id} {block} {token} {first} {next}", kind.as_str())
    }
}

/// The metadata was written by something else, e.g. an operator's offset reset.
#[derive(Debug, PartialEq, Eq)]
pub struct NotANote;

impl FromStr for CommitNote {
    type Err = NotANote;

    fn from_str(text: &str) -> Result<Self, NotANote> {
        let mut parts = text.split(' ');
        let mut next = || parts.next().ok_or(NotANote);
        if next()? != MAGIC {
            return Err(NotANote);
        }
        let kind = match next()? {
            "live" => BlockKind::Live,
            "roll" => BlockKind::Roll,
            "recount" => BlockKind::Recount,
            _ => return Err(NotANote),
        };
        Ok(Self {
            kind,
            topic_id: next()?.to_owned(),
            block: BlockId(u128::from_str_radix(next()?, 16).map_err(|_| NotANote)?),
            token: next()?.parse().map_err(|_| NotANote)?,
            first: next()?.parse().map_err(|_| NotANote)?,
            next: next()?.parse().map_err(|_| NotANote)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written_and_fits_kafka_s_limits() {
        let note = CommitNote {
            kind: BlockKind::Recount,
            topic_id: "x".repeat(22),
            block: BlockId(u128::MAX),
            token: u64::MAX,
            first: i64::MAX,
            next: i64::MAX,
        };
        let text = note.to_string();
        assert!(text.len() < 256, "{}", text.len());
        assert_eq!(text.parse(), Ok(note));
    }

    #[test]
    fn what_others_wrote_names_no_block() {
        for text in
            ["", "odometer/1", "odometer/2 live a 0 1 2 3", "reset by hand", "odometer/1 live id zz 1 2 3"]
        {
            assert_eq!(text.parse::<CommitNote>(), Err(NotANote), "{text}");
        }
    }
}
