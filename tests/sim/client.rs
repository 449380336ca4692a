//! The consumer client: what librdkafka's own threads do, and what the application asks of it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::group::{Phase, Place};
use super::world::{Client, ClientPhase, Item, Position, Rebalance, State};

pub fn subscribe(state: &mut State, process: u64) {
    client(state, process).phase = ClientPhase::Wanting;
}

fn client(state: &mut State, process: u64) -> &mut Client {
    &mut state.processes.get_mut(&process).expect("a process that acts is there").client
}

/// Leaves: the member id, where the group knows one, goes with the request to leave.
pub fn close(state: &mut State, process: u64) -> Option<u64> {
    let client = client(state, process);
    let member = client.member;
    *client = Client { generation: -1, ..Client::default() };
    member
}

/// A place without an offset is held and not read.
pub fn assign(state: &mut State, process: u64, offsets: Vec<(Place, Arc<str>, Option<i64>)>) {
    let client = client(state, process);
    client.is_assigning = false;
    for (place, topic_id, offset) in offsets {
        let position = Position {
            topic_id,
            offset: offset.unwrap_or(0),
            queue: VecDeque::new(),
            leader_epoch: -1,
            end_told_at: -1,
            is_paused: offset.is_none(),
        };
        client.positions.insert(place, position);
    }
}

pub fn unassign(state: &mut State, process: u64, places: &[Place]) {
    let cooperative = state.group.cooperative;
    let client = client(state, process);
    for place in places {
        client.positions.remove(place);
    }
    let is_waiting = client.rebalances.iter().any(|rebalance| matches!(rebalance, Rebalance::Revoke(_)));
    if client.phase == ClientPhase::Revoking && !is_waiting {
        client.phase = ClientPhase::Wanting;
        if client.is_assignment_lost || !cooperative {
            client.is_assignment_lost = false;
            client.positions.clear();
        }
    }
}

/// Records that were fetched, and what the group decided meanwhile.
pub fn poll(state: &mut State, process: u64) -> (Vec<(Place, Item)>, Vec<Rebalance>) {
    let State { processes, topics, chance, is_calm, .. } = state;
    let client = &mut processes.get_mut(&process).expect("a process that polls is there").client;
    let mut items = Vec::new();
    for (place, position) in client.positions.iter_mut().filter(|(_, position)| !position.is_paused) {
        let topic = topics.iter().find(|topic| topic.name == place.0).expect("topics are only added");
        if position.queue.len() < 4 && (*is_calm || chance.one_in(2)) {
            let most = if chance.one_in(4) { 64 } else { 8 };
            position.fetch(topic, place.1, chance.between(1, most));
        }
        let limit = if *is_calm || chance.one_in(8) { 64 } else { chance.below(5) };
        let count = limit.min(position.queue.len());
        items.extend(position.queue.drain(..count).map(|item| (*place, item)));
    }
    let rebalances: Vec<Rebalance> = client.rebalances.drain(..).collect();
    client.is_assigning |= rebalances.iter().any(|rebalance| matches!(rebalance, Rebalance::Assign(_)));
    (items, rebalances)
}

impl Position {
    fn fetch(&mut self, topic: &super::log::Topic, partition: i32, limit: usize) {
        if topic.id != self.topic_id {
            return self.queue.push_back(Item::Broken("unknown topic id"));
        }
        let log = &topic.partitions[partition as usize];
        if self.offset < log.start || self.offset > log.end {
            return self.queue.push_back(Item::Broken("offset out of range"));
        }
        // What the client read last must still be there.
        if self.leader_epoch >= 0 && log.end_of_epoch(self.leader_epoch) < self.offset {
            return self.queue.push_back(Item::Broken("log truncated"));
        }
        for (&offset, entry) in log.entries.range(self.offset..).take(limit) {
            self.queue.push_back(Item::Record(offset, entry.clone()));
            self.offset = offset + 1;
            self.leader_epoch = entry.leader_epoch;
        }
        if log.entries.range(self.offset..).next().is_none() {
            if self.offset < log.end {
                self.offset = log.end;
                self.leader_epoch = log.epoch_at(log.end - 1);
            }
            if self.end_told_at != log.end {
                self.end_told_at = log.end;
                self.queue.push_back(Item::End(log.end));
            }
        }
    }
}

/// One thing that the client's own threads may do now; `false`: nothing.
pub fn step(state: &mut State, process: u64) -> bool {
    let (phase, member, is_assigning) = {
        let client = client(state, process);
        (client.phase, client.member, client.is_assigning)
    };
    let is_known = member.is_some_and(|member| state.group.members.contains_key(&member));
    match phase {
        ClientPhase::Out | ClientPhase::Revoking => false,
        // What came with lanes to give up is carried out before it joins again.
        ClientPhase::Wanting if is_assigning => false,
        // The group refuses to let an id in that it doesn't know: then the lanes are lost.
        ClientPhase::Wanting if member.is_some() && !is_known => expelled(state, process),
        ClientPhase::Wanting => {
            join(state, process);
            true
        }
        _ if !is_known => expelled(state, process),
        // The application still carries out what it was given.
        _ if is_assigning => false,
        ClientPhase::Joining => hear_join(state, process),
        ClientPhase::Syncing => hear_sync(state, process),
        ClientPhase::Stable => heartbeat(state, process),
    }
}

fn join(state: &mut State, process: u64) {
    let cooperative = state.group.cooperative;
    let client = client(state, process);
    let owned: BTreeSet<Place> =
        if cooperative { client.positions.keys().copied().collect() } else { BTreeSet::new() };
    let member = client.member;
    let member = state.group.join(member, owned);
    let client = self::client(state, process);
    client.member = Some(member);
    client.phase = ClientPhase::Joining;
}

/// The group doesn't know the member any more: first the id goes, then the lanes.
fn expelled(state: &mut State, process: u64) -> bool {
    let client = client(state, process);
    if client.generation >= 0 {
        client.generation = -1;
        return true;
    }
    client.member = None;
    if client.is_assigning {
        return false;
    }
    client.rebalances.retain(|rebalance| matches!(rebalance, Rebalance::Revoke(_)));
    let lost: Vec<Place> = client.positions.keys().copied().collect();
    if lost.is_empty() {
        client.phase = ClientPhase::Wanting;
    } else {
        client.is_assignment_lost = true;
        client.rebalances.push_back(Rebalance::Revoke(lost));
        client.phase = ClientPhase::Revoking;
    }
    true
}

fn hear_join(state: &mut State, process: u64) -> bool {
    let (phase, generation) = (state.group.phase, state.group.generation);
    let member = client(state, process).member.expect("it has joined");
    // An answer that another rebalance has overtaken still comes.
    let is_answered = phase != Phase::Preparing || !state.group.members[&member].has_joined;
    let client = client(state, process);
    if !is_answered {
        return false;
    }
    client.generation = generation;
    client.phase = ClientPhase::Syncing;
    true
}

fn hear_sync(state: &mut State, process: u64) -> bool {
    let cooperative = state.group.cooperative;
    let member = client(state, process).member.expect("it has joined");
    if state.group.phase == Phase::Preparing {
        client(state, process).phase = ClientPhase::Wanting; // Another rebalance has begun.
        return true;
    }
    if state.group.phase != Phase::Stable {
        return false;
    }
    let assigned = state.group.members[&member].assigned.clone();
    let client = client(state, process);
    let owned: BTreeSet<Place> = client.positions.keys().copied().collect();
    let revoked: Vec<Place> = owned.difference(&assigned).copied().collect();
    let added: Vec<Place> = assigned.difference(&owned).copied().collect();
    client.phase = ClientPhase::Stable;
    if !revoked.is_empty() {
        // Only a cooperative member still owns lanes here; having given some up, it joins again.
        assert!(cooperative, "an eager member gave everything up before it joined");
        client.rebalances.push_back(Rebalance::Revoke(revoked));
        client.phase = ClientPhase::Revoking;
    }
    if !added.is_empty() {
        client.rebalances.push_back(Rebalance::Assign(added));
    }
    true
}

fn heartbeat(state: &mut State, process: u64) -> bool {
    if state.group.phase != Phase::Preparing {
        return false;
    }
    let cooperative = state.group.cooperative;
    let client = client(state, process);
    // An assignment that the application has not heard of yet is carried out first.
    if !client.rebalances.is_empty() {
        return false;
    }
    let owned: Vec<Place> = client.positions.keys().copied().collect();
    if cooperative || owned.is_empty() {
        client.phase = ClientPhase::Wanting;
    } else {
        client.rebalances.push_back(Rebalance::Revoke(owned));
        client.phase = ClientPhase::Revoking;
    }
    true
}
