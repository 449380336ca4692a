//! What comes out of librdkafka: batches of messages, whose bytes are lent and never copied.

use std::cell::RefCell;
use std::ffi::{CStr, c_int, c_void};
use std::sync::Arc;
use std::time::Duration;

use rdkafka_sys as sys;
use sys::rd_kafka_resp_err_t as Code;

use super::headers::RawHeaders;
use super::{Handle, describe, milliseconds};
use crate::event::{Headers, Record};

/// The queue that all of a consumer's messages come through.
pub struct Queue {
    queue: *mut sys::rd_kafka_queue_t,
    handle: Arc<Handle>,
    taking: Taking,
    /// Of lanes whose last message was their end.
    ends: RefCell<Ends>,
}

/// How messages are taken from the queue; what comes is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taking {
    /// Many at a time.
    Batches,
    /// By librdkafka's plain call, which reads the clock and takes two locks for each.
    OneByOne,
}

/// Messages of one call: few enough that what is looked at between calls, bytes and rebalances, is
/// looked at in time, and enough that the call costs little.
const TAKEN_AT_ONCE: usize = 64;

/// About as many messages as there is room for, by those that have come; at least one.
fn fitting(taken: usize, taken_bytes: usize, left: usize) -> usize {
    left.checked_div(taken_bytes.checked_div(taken).unwrap_or(0)).unwrap_or(left).max(1)
}

// SAFETY: librdkafka's queues are thread-safe.
unsafe impl Send for Queue {}

impl Queue {
    pub fn of(handle: &Arc<Handle>, taking: Taking) -> Self {
        // SAFETY: the handle is a consumer and lives as long as the queue.
        let queue = unsafe { sys::rd_kafka_queue_get_consumer(handle.rk) };
        Self { queue, handle: Arc::clone(handle), taking, ends: RefCell::default() }
    }

    /// Waits at most `timeout` for messages, then takes what is there: up to `limit`, up to about
    /// `bytes`. Ends at a rebalance, which is recorded (`Handle::take_rebalances`).
    pub fn poll(&self, timeout: Duration, limit: usize, bytes: usize) -> Batch {
        // Room for all at once: growing by steps costs a twentieth of what the thread does.
        let mut messages: Vec<Message> = Vec::with_capacity(limit);
        let mut left = bytes;
        while messages.len() < limit && left > 0 {
            let before = messages.len();
            let more = if before == 0 {
                // A batch call would wait until its batch is full.
                self.take_one(&mut messages, milliseconds(timeout))
            } else {
                match self.taking {
                    Taking::Batches => {
                        let fitting = fitting(before, bytes - left, left);
                        self.take_many(&mut messages, TAKEN_AT_ONCE.min(limit - before).min(fitting))
                    }
                    Taking::OneByOne => self.take_one(&mut messages, 0),
                }
            };
            let taken = messages[before..].iter().map(|message| message.raw().len + message.raw().key_len);
            left = left.saturating_sub(taken.sum::<usize>());
            if !more || self.handle.has_rebalances() {
                break;
            }
        }
        if self.taking == Taking::Batches {
            self.ends.borrow_mut().note(&messages);
        }
        Batch { messages, _handle: Arc::clone(&self.handle) }
    }

    /// `false` where none has come.
    fn take_one(&self, messages: &mut Vec<Message>, wait: c_int) -> bool {
        // SAFETY: the queue is valid; a message that is returned is owned by us from here on.
        let message = unsafe { sys::rd_kafka_consume_queue(self.queue, wait) };
        if message.is_null() {
            return false;
        }
        messages.push(Message { message });
        true
    }

    /// Takes what is there, without waiting; `false` where nothing is left.
    fn take_many(&self, messages: &mut Vec<Message>, limit: usize) -> bool {
        messages.reserve(limit);
        let room = messages.spare_capacity_mut();
        // SAFETY: the queue is valid; there is room for `limit` pointers, which is all that a
        // `Message` is. Those that are written, `taken` from the start, are owned by us from here on.
        unsafe {
            let taken = sys::rd_kafka_consume_batch_queue(self.queue, 0, room.as_mut_ptr().cast(), limit);
            let taken = usize::try_from(taken).unwrap_or(0);
            messages.set_len(messages.len() + taken);
            taken == limit
        }
    }

    /// To be called after partitions were paused and go on, by us or by librdkafka through a
    /// rebalance, before the next poll; `dropped` are no longer read or read from elsewhere.
    ///
    /// Up to librdkafka 2.12 a batch call counts the end of a partition as a record: its position is
    /// one too far then, until the next record comes. Only a pause looks at the position, from where
    /// it then goes on: behind a record that nobody has read. So whoever stands at an end is told
    /// where that is.
    pub fn go_on<'l>(&self, dropped: impl IntoIterator<Item = (&'l str, i32)>) -> Result<(), String> {
        let mut ends = self.ends.borrow_mut();
        dropped.into_iter().for_each(|(topic, partition)| ends.forget(topic, partition));
        if ends.0.is_empty() { Ok(()) } else { self.handle.seek(&ends.0) }
    }
}

/// (topic, partition, where it ends) of lanes.
#[derive(Default)]
struct Ends(Vec<(String, i32, i64)>);

impl Ends {
    fn note(&mut self, messages: &[Message]) {
        // Of the last message that was a record.
        let mut run = None;
        for message in messages {
            let is_end = message.code() == Code::RD_KAFKA_RESP_ERR__PARTITION_EOF;
            if !is_end && (self.0.is_empty() || run == Some((message.topic_key(), message.partition()))) {
                continue;
            }
            self.forget(message.topic(), message.partition());
            if is_end {
                self.0.push((message.topic().to_owned(), message.partition(), message.offset()));
                run = None;
            } else {
                run = Some((message.topic_key(), message.partition()));
            }
        }
    }

    fn forget(&mut self, topic: &str, partition: i32) {
        self.0.retain(|(known, number, _)| (known.as_str(), *number) != (topic, partition));
    }
}

/// What one poll brought. The messages are dropped before the handle that they came from.
pub struct Batch {
    messages: Vec<Message>,
    _handle: Arc<Handle>,
}

impl Batch {
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Shares the messages out, in their order, among so many batches: each goes to the one whose
    /// number `part` gives, and is dropped where that is none.
    pub fn split(self, parts: usize, mut part: impl FnMut(&Message) -> Option<usize>) -> Vec<Self> {
        let Self { messages, _handle } = self;
        let mut split: Vec<Vec<Message>> = Vec::new();
        split.resize_with(parts, Vec::new);
        let room = messages.len();
        for message in messages {
            let Some(part) = part(&message).and_then(|part| split.get_mut(part)) else { continue };
            // A run of one partition goes to one of them: all of it, often.
            if part.capacity() == 0 {
                part.reserve(room);
            }
            part.push(message);
        }
        split.into_iter().map(|messages| Self { messages, _handle: Arc::clone(&_handle) }).collect()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: owned, destroyed once, before the handle.
        unsafe { sys::rd_kafka_queue_destroy(self.queue) }
    }
}

/// A message or an error of one partition; lives within its batch and lends its bytes.
#[repr(transparent)]
pub struct Message {
    message: *mut sys::rd_kafka_message_t,
}

// SAFETY: who holds a message is the only one that reads it. What messages share with one another and
// with their client (the topic, the buffer that they lie in) is written no more, and given back by
// counts that librdkafka keeps atomically, so that any thread may destroy one.
unsafe impl Send for Message {}

impl Message {
    fn raw(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: valid until `drop`.
        unsafe { &*self.message }
    }

    pub fn code(&self) -> Code {
        self.raw().err
    }

    /// What librdkafka says of a message that is an error.
    pub fn error_text(&self) -> String {
        // SAFETY: valid message; the string belongs to it or is static.
        let text = unsafe { sys::rd_kafka_message_errstr(self.message) };
        if text.is_null() {
            return describe(self.code());
        }
        // SAFETY: as above.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }

    /// Tells topics apart cheaply: the same for every message of one topic of one consumer.
    pub fn topic_key(&self) -> usize {
        self.raw().rkt as usize
    }

    pub fn topic(&self) -> &str {
        let rkt = self.raw().rkt;
        if rkt.is_null() {
            return "";
        }
        // SAFETY: the topic object lives as long as the message that refers to it.
        unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(rkt)) }.to_str().unwrap_or("")
    }

    pub fn partition(&self) -> i32 {
        self.raw().partition
    }

    pub fn offset(&self) -> i64 {
        self.raw().offset
    }

    pub fn leader_epoch(&self) -> i32 {
        // SAFETY: valid message.
        unsafe { sys::rd_kafka_message_leader_epoch(self.message) }
    }

    /// The record, borrowed. `topic` is passed in because the caller knows it already.
    pub fn record<'a>(&'a self, topic: &'a str) -> Record<'a> {
        let raw = self.raw();
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: valid message.
        let timestamp = unsafe { sys::rd_kafka_message_timestamp(self.message, &mut kind) };
        let available = !matches!(kind, sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE);
        Record {
            topic,
            partition: raw.partition,
            offset: raw.offset,
            timestamp_ms: (available && timestamp >= 0).then_some(timestamp),
            // SAFETY: librdkafka keeps `len` bytes there as long as the message lives.
            key: unsafe { bytes(raw.key, raw.key_len) },
            // SAFETY: as above.
            value: unsafe { bytes(raw.payload, raw.len) },
            headers: self,
        }
    }

    fn raw_headers(&self) -> RawHeaders<'_> {
        if self.code() != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
            return RawHeaders::new(&[]);
        }
        let mut size = 0;
        // SAFETY: a consumed message that is no error; the bytes belong to it.
        let raw = unsafe { bytes(odometer_message_headers(self.message, &mut size), size) };
        RawHeaders::new(raw.unwrap_or_default())
    }
}

unsafe extern "C" {
    /// In `headers.c`.
    fn odometer_message_headers(message: *const sys::rd_kafka_message_t, size: *mut usize) -> *const c_void;
}

unsafe fn bytes<'a>(data: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller says that `length` bytes at `data` live for 'a.
    (!data.is_null()).then(|| unsafe { std::slice::from_raw_parts(data.cast(), length) })
}

impl Headers for Message {
    fn get(&self, name: &str) -> Option<&[u8]> {
        let named = self.raw_headers().each().filter(|(other, _)| *other == name.as_bytes());
        named.last().and_then(|(_, value)| value)
    }

    fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        for (name, value) in self.raw_headers().each() {
            // A name ends at a NUL, as for all who read it through librdkafka.
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            visit(&String::from_utf8_lossy(name), value);
        }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: owned, destroyed once, before the handle.
        unsafe { sys::rd_kafka_message_destroy(self.message) }
    }
}
