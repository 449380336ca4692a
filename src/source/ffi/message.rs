//! What comes out of librdkafka: batches of messages, whose bytes are lent and never copied.

use std::ffi::{CStr, CString, c_void};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use rdkafka_sys as sys;
use sys::rd_kafka_resp_err_t as Code;

use super::{Handle, describe, milliseconds};
use crate::event::{Headers, Record};

/// The queue that all of a consumer's messages come through.
pub struct Queue {
    queue: *mut sys::rd_kafka_queue_t,
    handle: Arc<Handle>,
}

// SAFETY: librdkafka's queues are thread-safe.
unsafe impl Send for Queue {}

impl Queue {
    pub fn of(handle: &Arc<Handle>) -> Self {
        // SAFETY: the handle is a consumer and lives as long as the queue.
        let queue = unsafe { sys::rd_kafka_queue_get_consumer(handle.rk) };
        Self { queue, handle: Arc::clone(handle) }
    }

    /// Waits at most `timeout` for messages, then takes what is there: up to `limit`, up to about
    /// `bytes`. Ends at a rebalance, which is recorded (`Handle::take_rebalances`).
    ///
    /// Not `rd_kafka_consume_batch_queue`: up to librdkafka 2.12 that counts the end of a partition
    /// as a record, and so passes over the next one where a rebalance or a pause makes it fetch
    /// again from its position.
    pub fn poll(&self, timeout: Duration, limit: usize, bytes: usize) -> Batch {
        // Room for all at once: growing by steps costs a twentieth of what the thread does.
        let mut messages: Vec<Message> = Vec::with_capacity(limit);
        let mut left = bytes;
        let mut wait = milliseconds(timeout);
        while messages.len() < limit && left > 0 {
            // SAFETY: the queue is valid; a message that is returned is owned by us from here on.
            let message = unsafe { sys::rd_kafka_consume_queue(self.queue, wait) };
            if message.is_null() {
                break;
            }
            let message = Message { message };
            left = left.saturating_sub(message.raw().len + message.raw().key_len);
            messages.push(message);
            wait = 0;
            if self.handle.has_rebalances() {
                break;
            }
        }
        Batch { messages, _handle: Arc::clone(&self.handle) }
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
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: owned, destroyed once, before the handle.
        unsafe { sys::rd_kafka_queue_destroy(self.queue) }
    }
}

/// A message or an error of one partition; lives within its batch and lends its bytes.
pub struct Message {
    message: *mut sys::rd_kafka_message_t,
}

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

    fn headers(&self) -> Option<*mut sys::rd_kafka_headers_t> {
        let mut headers = ptr::null_mut();
        // SAFETY: valid message; the headers belong to it.
        let code = unsafe { sys::rd_kafka_message_headers(self.message, &mut headers) };
        (code == Code::RD_KAFKA_RESP_ERR_NO_ERROR && !headers.is_null()).then_some(headers)
    }
}

unsafe fn bytes<'a>(data: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller says that `length` bytes at `data` live for 'a.
    (!data.is_null()).then(|| unsafe { std::slice::from_raw_parts(data.cast(), length) })
}

impl Headers for Message {
    fn get(&self, name: &str) -> Option<&[u8]> {
        let headers = self.headers()?;
        let name = CString::new(name).ok()?;
        let (mut value, mut size) = (ptr::null(), 0);
        // SAFETY: the value belongs to the message's headers.
        unsafe {
            let code = sys::rd_kafka_header_get_last(headers, name.as_ptr(), &mut value, &mut size);
            if code == Code::RD_KAFKA_RESP_ERR_NO_ERROR { bytes(value, size) } else { None }
        }
    }

    fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        let Some(headers) = self.headers() else { return };
        for index in 0.. {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            // SAFETY: name and value belong to the message's headers.
            unsafe {
                let code = sys::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut size);
                if code != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
                    return;
                }
                visit(&CStr::from_ptr(name).to_string_lossy(), bytes(value, size));
            }
        }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: owned, destroyed once, before the handle.
        unsafe { sys::rd_kafka_message_destroy(self.message) }
    }
}
