//! What becomes of a request: done and answered, or one of the ways in which that fails.

use odometer::aggregate::{BlockId, LedgerRow};
use odometer::source::{Committed, Tenure};

use super::fault::Fault;
use super::group::CommitRefusal;
use super::world::{Answer, Block, Request, State};

/// The request goes on by one step: it is served, it fails, or, where nobody waits any more, it
/// arrives late or never.
pub fn progress(state: &mut State, id: u64, fault_percent: usize) {
    let Some(pending) = state.calls.get(&id) else { return };
    let request = pending.request.clone();
    if pending.is_abandoned {
        state.calls.remove(&id);
        return arrive_late(state, request);
    }
    if !state.is_calm && state.chance.percent(fault_percent) {
        return fail(state, id, request);
    }
    let answer = serve(state, &request);
    finish(state, id, answer);
}

/// The server is through with it.
fn finish(state: &mut State, id: u64, answer: Answer) {
    state.calls.get_mut(&id).expect("it is pending").is_done = true;
    state.answer(id, answer);
}

fn refuse(state: &mut State, id: u64, fault: Fault) {
    state.note(fault);
    finish(state, id, Answer::Refused("the server said no".into()));
}

fn lose_answer(state: &mut State, id: u64, fault: Fault) {
    state.note(fault);
    finish(state, id, Answer::Lost("connection lost".into()));
}

/// The caller gives up; the request is still on its way.
fn time_out(state: &mut State, id: u64) {
    state.answer(id, Answer::Lost("timed out".into()));
}

fn fail(state: &mut State, id: u64, request: Request) {
    match &request {
        Request::InsertBlocks(_) | Request::InsertRoll { .. } => match state.chance.below(4) {
            0 => refuse(state, id, Fault::InsertRefused),
            1 => {
                insert(state, &request, true);
                lose_answer(state, id, Fault::InsertTorn);
            }
            2 => {
                serve(state, &request);
                lose_answer(state, id, Fault::InsertAnswerLost);
            }
            _ => time_out(state, id),
        },
        Request::Publish { .. } | Request::PublishAll(_) => match state.chance.below(4) {
            0 => refuse(state, id, Fault::LedgerRefused),
            1 => {
                publish_some(state, &request);
                lose_answer(state, id, Fault::LedgerTorn);
            }
            2 => {
                serve(state, &request);
                lose_answer(state, id, Fault::LedgerAnswerLost);
            }
            _ => time_out(state, id),
        },
        Request::Commit { .. } => match state.chance.below(2) {
            0 => match serve(state, &request) {
                Answer::Done => lose_answer(state, id, Fault::CommitAnswerLost),
                answer => finish(state, id, answer),
            },
            _ => time_out(state, id),
        },
        Request::Letters(letters) => {
            if state.chance.one_in(2) {
                let some = letters.len() / 2;
                let lane_letters: Vec<_> = letters[..some].to_vec();
                state.letters.extend(lane_letters);
                refuse(state, id, Fault::LettersRefused);
            } else {
                serve(state, &request);
                lose_answer(state, id, Fault::LettersAnswerLost);
            }
        }
        Request::StoreRules(_) | Request::Claim(_) | Request::Leave { .. } | Request::AnswerRecount(_) => {
            if state.chance.one_in(2) {
                serve(state, &request);
            }
            finish(state, id, Answer::Lost("connection lost".into()));
        }
        // A read that fails ends a session at its start; too many of them and nothing ever begins.
        _ if state.chance.one_in(6) => refuse(state, id, Fault::ReadFailed),
        _ => {
            let answer = serve(state, &request);
            finish(state, id, answer);
        }
    }
}

/// Nobody waits for the answer any more.
fn arrive_late(state: &mut State, request: Request) {
    match &request {
        Request::InsertBlocks(_) | Request::InsertRoll { .. } => match state.chance.below(4) {
            0 => {
                insert(state, &request, true);
                state.note(Fault::InsertLateInPart);
            }
            1 => {
                serve(state, &request);
                serve(state, &request);
                state.note(Fault::InsertRepeated);
            }
            2 => {
                serve(state, &request);
                state.note(Fault::InsertLate);
            }
            _ => state.note(Fault::InsertNeverDone),
        },
        Request::Publish { .. } | Request::PublishAll(_) => {
            serve(state, &request);
            state.note(Fault::LedgerLate);
        }
        Request::Commit { .. } => {
            if state.chance.one_in(4) {
                return state.note(Fault::CommitNeverDone);
            }
            match serve(state, &request) {
                Answer::Done => state.note(Fault::CommitLate),
                _ => state.note(Fault::CommitTooLate),
            }
        }
        Request::Letters(_) | Request::StoreRules(_) | Request::Claim(_) | Request::Leave { .. }
            if state.chance.one_in(2) =>
        {
            serve(state, &request);
        }
        _ => {}
    }
}

fn serve(state: &mut State, request: &Request) -> Answer {
    match request {
        Request::InsertBlocks(_) | Request::InsertRoll { .. } => insert(state, request, false),
        Request::Claim(owner) => {
            state.database.claim(owner);
            Answer::Done
        }
        Request::Publish { block, owner } => publish(state, *block, owner),
        Request::PublishAll(rows) => match state.database.refusal(rows) {
            Some(cause) => Answer::Refused(cause),
            None => {
                for (block, owner) in rows {
                    publish(state, *block, owner);
                }
                Answer::Done
            }
        },
        Request::History(lane) => Answer::History(state.database.history(lane)),
        Request::Prepared(block) => Answer::Row(state.database.prepared.get(block).cloned().map(Box::new)),
        Request::FirstPartitions { lane, partitions } => {
            Answer::Partitions(state.database.first_partitions(lane, *partitions))
        }
        Request::Rules(hash) => Answer::Rules(state.database.rules.get(hash).cloned()),
        Request::StoreRules(rules) => {
            for rules in rules {
                state.database.rules.insert(rules.hash(), rules.clone());
            }
            Answer::Done
        }
        Request::Letters(letters) => {
            state.letters.extend(letters.iter().cloned());
            Answer::Done
        }
        Request::Commit { place, member, generation, offset, note } => {
            let committed = Committed { offset: *offset, metadata: note.clone().into_bytes() };
            let outcome = state.group.commit(*place, *member, *generation, committed);
            state.tell(|_| format!("commit {}[{}] {note}: {outcome:?}", place.0, place.1));
            match outcome {
                Ok(()) => {
                    let lane = state.lane(*place);
                    if let Err(wrong) = state.watch.committed(lane, note) {
                        state.wrong.get_or_insert(wrong);
                    }
                    Answer::Done
                }
                Err(CommitRefusal::RebalanceInProgress | CommitRefusal::IllegalGeneration) => {
                    Answer::Rebalance
                }
                Err(refusal) => Answer::Refused(format!("{refusal:?}")),
            }
        }
        Request::Committed(place) => Answer::Committed(state.group.commits.get(place).cloned()),
        Request::Bounds(place) => {
            let topic = &state.topics[state.topic_index(place.0)];
            match topic.partitions.get(place.1 as usize) {
                Some(partition) => Answer::Bounds { start: partition.start, end: partition.end },
                None => Answer::Refused("unknown partition".into()),
            }
        }
        Request::Describe(topic) => Answer::TopicId(state.topics[*topic].id.clone()),
        Request::Leave { member } => {
            state.group.remove(*member);
            Answer::Done
        }
        Request::AnswerRecount(id) => {
            state.recounts.retain(|recount| recount.id != *id);
            Answer::Done
        }
    }
}

/// Rows first, of all blocks together, then the prepared rows; a torn insert ends somewhere before that.
fn insert(state: &mut State, request: &Request, is_torn: bool) -> Answer {
    match request {
        Request::InsertBlocks(blocks) => {
            store(state, blocks, is_torn);
            Answer::Done
        }
        Request::InsertRoll { row, covered } => match state.database.fold(covered) {
            Ok((counts, services, quantity)) => {
                let row = LedgerRow { quantity, ..(**row).clone() };
                store(state, &[Block { row, counts, services }], is_torn);
                Answer::Quantity(quantity)
            }
            Err(cause) => Answer::Refused(cause),
        },
        _ => unreachable!("only inserts come here"),
    }
}

fn store(state: &mut State, blocks: &[Block], is_torn: bool) {
    // Prepared rows are torn only between blocks, and all rows are there by then.
    let prepared = match is_torn {
        true if state.chance.one_in(2) => Some(state.chance.below(blocks.len())),
        true => None,
        false => Some(blocks.len()),
    };
    for Block { row, counts, services } in blocks {
        let (counts, services) = match prepared {
            Some(_) => (&counts[..], &services[..]),
            None => (
                &counts[..state.chance.below(counts.len() + 1)],
                &services[..state.chance.below(services.len() + 1)],
            ),
        };
        state.database.insert_counts(row.block, counts);
        state.database.insert_services(row.block, services);
    }
    for block in &blocks[..prepared.unwrap_or(0)] {
        state.database.prepare(&block.row);
    }
}

fn publish(state: &mut State, block: BlockId, owner: &Tenure) -> Answer {
    let now_ms = state.now_ms;
    match state.database.publish(block, owner, now_ms) {
        Ok(false) => {
            if state.database.prepared[&block].tenure == owner.id {
                state.watch.overtaken(&owner.lane, block);
            }
            Answer::Listed(false)
        }
        Ok(true) => {
            state.tell(|state| format!("ledger: {}", super::check::name(&state.database.prepared[&block])));
            Answer::Listed(true)
        }
        Err(cause) => Answer::Refused(cause),
    }
}

/// A statement of several rows is cut short, as on a cluster, where rows go to several servers.
fn publish_some(state: &mut State, request: &Request) {
    let Request::PublishAll(rows) = request else { return };
    if state.database.refusal(rows).is_none() {
        for (block, owner) in &rows[..rows.len() / 2] {
            publish(state, *block, owner);
        }
    }
}
