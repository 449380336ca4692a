//! What is unsafe about librdkafka, in one place: each wrapper owns one C object and frees it once.
//!
//! Invariants:
//! - A `Handle` outlives every queue and batch made from it: both hold an `Arc` of it, and a message
//!   is never handed out but by reference to its batch.
//! - A message's bytes live as long as the message; [`Message`] lends them no longer than itself. That
//!   holds for its headers too, whose place `headers.c` knows from librdkafka's private headers.
//! - The rebalance callback runs only on the thread that polls or closes; it only appends to the
//!   mutex-guarded list in [`Shared`], or answers with an unassign while the client closes.

mod headers;
mod list;
mod message;

use list::{List, slice_of};
pub use message::{Batch, Message, Queue, Taking};

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka_sys as sys;
use sys::rd_kafka_resp_err_t as Code;

pub type ErrorCode = Code;

/// A seek asks no broker; the client's own threads answer.
const SEEK_TIMEOUT: Duration = Duration::from_secs(15);

/// What the group told us to do; carried out after the poll, never within the callback.
#[derive(Debug)]
pub enum RawRebalance {
    Assign(Vec<(String, i32)>),
    Revoke(Vec<(String, i32)>),
    Failed(String),
}

#[derive(Default)]
struct Shared {
    rebalances: Mutex<Vec<RawRebalance>>,
    closing: AtomicBool,
}

/// A librdkafka consumer. Thread-safe: librdkafka locks inside.
pub struct Handle {
    rk: *mut sys::rd_kafka_t,
    /// The callback's opaque; boxed so that its address stays.
    shared: Box<Shared>,
}

// SAFETY: every function of librdkafka that is called here may be called from any thread.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

pub fn describe(code: Code) -> String {
    // SAFETY: librdkafka returns a static string for every code.
    unsafe { CStr::from_ptr(sys::rd_kafka_err2str(code)) }.to_string_lossy().into_owned()
}

fn c_string(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| format!("{text:?} holds a NUL byte"))
}

fn milliseconds(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX)
}

impl Handle {
    pub fn new<'a>(properties: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, String> {
        let shared = Box::new(Shared::default());
        let mut error = [0 as c_char; 512];
        // SAFETY: `conf` is used until `rd_kafka_new` takes it, or destroyed on an error; `shared` is
        // boxed and dropped only after `rd_kafka_destroy`.
        unsafe {
            let conf = sys::rd_kafka_conf_new();
            for (name, value) in properties {
                let set =
                    c_string(name).and_then(|name| Ok((name, c_string(value)?))).and_then(|(name, value)| {
                        let result = sys::rd_kafka_conf_set(
                            conf,
                            name.as_ptr(),
                            value.as_ptr(),
                            error.as_mut_ptr(),
                            error.len(),
                        );
                        match result {
                            sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK => Ok(()),
                            _ => Err(CStr::from_ptr(error.as_ptr()).to_string_lossy().into_owned()),
                        }
                    });
                if let Err(cause) = set {
                    sys::rd_kafka_conf_destroy(conf);
                    return Err(cause);
                }
            }
            sys::rd_kafka_conf_set_opaque(conf, ptr::from_ref(&*shared).cast_mut().cast());
            sys::rd_kafka_conf_set_rebalance_cb(conf, Some(on_rebalance));
            sys::rd_kafka_conf_set_log_cb(conf, Some(on_log));
            sys::rd_kafka_conf_set_error_cb(conf, Some(on_error));
            let rk = sys::rd_kafka_new(
                sys::rd_kafka_type_t::RD_KAFKA_CONSUMER,
                conf,
                error.as_mut_ptr(),
                error.len(),
            );
            if rk.is_null() {
                sys::rd_kafka_conf_destroy(conf);
                return Err(CStr::from_ptr(error.as_ptr()).to_string_lossy().into_owned());
            }
            sys::rd_kafka_poll_set_consumer(rk);
            Ok(Self { rk, shared })
        }
    }

    pub fn subscribe(&self, topics: &[String]) -> Result<(), String> {
        let mut list = List::new();
        for topic in topics {
            list.add(topic, -1)?;
        }
        // SAFETY: the list lives through the call; librdkafka copies it.
        check(unsafe { sys::rd_kafka_subscribe(self.rk, list.0) })
    }

    pub fn take_rebalances(&self) -> Vec<RawRebalance> {
        std::mem::take(&mut self.shared.rebalances.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn has_rebalances(&self) -> bool {
        !self.shared.rebalances.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Starts reading each partition at its offset. An eager protocol replaces the whole assignment,
    /// which it has revoked before.
    pub fn assign(&self, added: &[(String, i32, i64)]) -> Result<(), String> {
        let mut list = List::new();
        for (topic, partition, offset) in added {
            list.add(topic, *partition)?.offset = *offset;
        }
        // SAFETY: the list lives through the call; librdkafka copies it.
        unsafe {
            if is_cooperative(self.rk) {
                check_error(sys::rd_kafka_incremental_assign(self.rk, list.0))
            } else {
                check(sys::rd_kafka_assign(self.rk, list.0))
            }
        }
    }

    pub fn unassign(&self, removed: &[(String, i32)]) -> Result<(), String> {
        let mut list = List::new();
        for (topic, partition) in removed {
            list.add(topic, *partition)?;
        }
        // SAFETY: the list lives through the call; librdkafka copies it.
        unsafe {
            if is_cooperative(self.rk) {
                check_error(sys::rd_kafka_incremental_unassign(self.rk, list.0))
            } else {
                check(sys::rd_kafka_assign(self.rk, ptr::null()))
            }
        }
    }

    pub fn pause(&self, lanes: &[(String, i32)], paused: bool) -> Result<(), String> {
        let mut list = List::new();
        for (topic, partition) in lanes {
            list.add(topic, *partition)?;
        }
        // SAFETY: the list lives through the call.
        check(unsafe {
            if paused {
                sys::rd_kafka_pause_partitions(self.rk, list.0)
            } else {
                sys::rd_kafka_resume_partitions(self.rk, list.0)
            }
        })
    }

    /// Goes on reading each assigned partition at its offset; what was fetched before is thrown away.
    fn seek(&self, positions: &[(String, i32, i64)]) -> Result<(), String> {
        let mut list = List::new();
        for (topic, partition, offset) in positions {
            list.add(topic, *partition)?.offset = *offset;
        }
        // SAFETY: the list lives through the call, which writes each partition's own error into it.
        unsafe {
            check_error(sys::rd_kafka_seek_partitions(self.rk, list.0, milliseconds(SEEK_TIMEOUT)))?;
            slice_of(&*list.0).iter().try_for_each(|element| check(element.err))
        }
    }

    /// Whether the group has taken the assignment away without our doing (session time-out).
    pub fn is_assignment_lost(&self) -> bool {
        // SAFETY: plain query.
        unsafe { sys::rd_kafka_assignment_lost(self.rk) != 0 }
    }

    /// The member id and generation that a commit would carry now.
    pub fn membership(&self) -> (String, i32) {
        // SAFETY: both objects are freed here; the buffer is at least 11 bytes long where the write
        // succeeds: 7 of magic, then the generation in native byte order (checked before reading).
        unsafe {
            let member = sys::rd_kafka_memberid(self.rk);
            let member_id = if member.is_null() {
                String::new()
            } else {
                let text = CStr::from_ptr(member).to_string_lossy().into_owned();
                sys::rd_kafka_mem_free(self.rk, member.cast());
                text
            };
            let mut generation = -1;
            let metadata = sys::rd_kafka_consumer_group_metadata(self.rk);
            if !metadata.is_null() {
                let (mut buffer, mut size) = (ptr::null_mut::<c_void>(), 0usize);
                let error = sys::rd_kafka_consumer_group_metadata_write(metadata, &mut buffer, &mut size);
                if error.is_null() {
                    let bytes = std::slice::from_raw_parts(buffer.cast::<u8>(), size);
                    if let Some(number) = bytes.strip_prefix(b"CGMDv2:").and_then(|rest| rest.first_chunk()) {
                        generation = i32::from_ne_bytes(*number);
                    }
                    sys::rd_kafka_mem_free(self.rk, buffer);
                } else {
                    sys::rd_kafka_error_destroy(error);
                }
                sys::rd_kafka_consumer_group_metadata_destroy(metadata);
            }
            (member_id, generation)
        }
    }

    /// Commits one partition's offset and metadata and waits for the answer; the partition's own
    /// error counts as much as the request's.
    pub fn commit(&self, topic: &str, partition: i32, offset: i64, metadata: &str) -> Result<(), Code> {
        extern "C" fn on_commit(
            _: *mut sys::rd_kafka_t,
            err: Code,
            offsets: *mut sys::rd_kafka_topic_partition_list_t,
            worst: *mut c_void,
        ) {
            // SAFETY: librdkafka calls this within `rd_kafka_commit_queue`, so that `worst` (a local of
            // `commit`) lives, with a valid list or null.
            unsafe {
                let worst = &mut *worst.cast::<Code>();
                *worst = err;
                if let Some(list) = offsets.as_ref() {
                    let elements = slice_of(list);
                    if let Some(refused) =
                        elements.iter().map(|e| e.err).find(|e| *e != Code::RD_KAFKA_RESP_ERR_NO_ERROR)
                    {
                        *worst = refused;
                    }
                }
            }
        }
        let mut list = List::new();
        let Ok(element) = list.add(topic, partition) else {
            return Err(Code::RD_KAFKA_RESP_ERR__INVALID_ARG);
        };
        element.offset = offset;
        // SAFETY: librdkafka frees the metadata with the list, so it must come from its allocator.
        unsafe {
            let copy = sys::rd_kafka_mem_malloc(self.rk, metadata.len());
            ptr::copy_nonoverlapping(metadata.as_ptr(), copy.cast::<u8>(), metadata.len());
            element.metadata = copy;
            element.metadata_size = metadata.len();
        }
        let mut worst = Code::RD_KAFKA_RESP_ERR__TIMED_OUT;
        // SAFETY: without a queue the call is synchronous: the callback runs before it returns.
        let err = unsafe {
            sys::rd_kafka_commit_queue(
                self.rk,
                list.0,
                ptr::null_mut(),
                Some(on_commit),
                ptr::from_mut(&mut worst).cast(),
            )
        };
        for code in [err, worst] {
            if code != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(code);
            }
        }
        Ok(())
    }

    /// The group's committed offset and metadata of one partition; the offset is negative where
    /// there is none.
    pub fn committed(
        &self,
        topic: &str,
        partition: i32,
        timeout: Duration,
    ) -> Result<(i64, Vec<u8>), String> {
        let mut list = List::new();
        list.add(topic, partition)?;
        // SAFETY: the list lives through the call; metadata is read before the list is dropped.
        unsafe {
            check(sys::rd_kafka_committed(self.rk, list.0, milliseconds(timeout)))?;
            let element = slice_of(&*list.0).first().ok_or("no answer for the partition")?;
            if element.err != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(describe(element.err));
            }
            let metadata = if element.metadata.is_null() {
                Vec::new()
            } else {
                std::slice::from_raw_parts(element.metadata.cast::<u8>(), element.metadata_size).to_vec()
            };
            Ok((element.offset, metadata))
        }
    }

    /// (log start, end of what may be read), as the broker answers now.
    pub fn watermarks(&self, topic: &str, partition: i32, timeout: Duration) -> Result<(i64, i64), Code> {
        let topic = CString::new(topic).map_err(|_| Code::RD_KAFKA_RESP_ERR__INVALID_ARG)?;
        let (mut low, mut high) = (0, 0);
        // SAFETY: plain out-parameters.
        let code = unsafe {
            sys::rd_kafka_query_watermark_offsets(
                self.rk,
                topic.as_ptr(),
                partition,
                &mut low,
                &mut high,
                milliseconds(timeout),
            )
        };
        if code == Code::RD_KAFKA_RESP_ERR_NO_ERROR { Ok((low, high)) } else { Err(code) }
    }

    /// (name, topic id, error) of each topic.
    pub fn describe_topics(&self, topics: &[String], timeout: Duration) -> Result<Vec<Described>, String> {
        let names = topics.iter().map(|topic| c_string(topic)).collect::<Result<Vec<_>, _>>()?;
        let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
        // SAFETY: every object is destroyed once, the result is read before its event is destroyed.
        unsafe {
            let collection =
                sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            let options = sys::rd_kafka_AdminOptions_new(
                self.rk,
                sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            );
            let mut error = [0 as c_char; 256];
            sys::rd_kafka_AdminOptions_set_request_timeout(
                options,
                milliseconds(timeout),
                error.as_mut_ptr(),
                error.len(),
            );
            let queue = sys::rd_kafka_queue_new(self.rk);
            sys::rd_kafka_DescribeTopics(self.rk, collection, options, queue);
            let event = sys::rd_kafka_queue_poll(queue, milliseconds(timeout + Duration::from_secs(1)));
            let result = read_descriptions(event);
            if !event.is_null() {
                sys::rd_kafka_event_destroy(event);
            }
            sys::rd_kafka_queue_destroy(queue);
            sys::rd_kafka_AdminOptions_destroy(options);
            sys::rd_kafka_TopicCollection_destroy(collection);
            result
        }
    }

    /// Leaves the group. Revocations that this brings are answered within.
    pub fn close(&self) {
        self.shared.closing.store(true, Ordering::Release);
        // SAFETY: may be called once polling has ended; a second call answers with an error code.
        unsafe { sys::rd_kafka_consumer_close(self.rk) };
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        // SAFETY: the last user of `rk`: queues and messages hold an `Arc` of this handle.
        unsafe { sys::rd_kafka_destroy(self.rk) };
    }
}

/// What the brokers say of a topic.
pub struct Described {
    pub name: String,
    pub id: String,
    pub partitions: i32,
    /// Why there is no id: it does not exist, or may not be described.
    pub error: Option<String>,
}

unsafe fn read_descriptions(event: *mut sys::rd_kafka_event_t) -> Result<Vec<Described>, String> {
    if event.is_null() {
        return Err("no answer".into());
    }
    // SAFETY: the caller keeps the event alive; strings are copied.
    unsafe {
        check(sys::rd_kafka_event_error(event))?;
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        let topics = std::slice::from_raw_parts(topics, count);
        let text = |text: *const c_char| CStr::from_ptr(text).to_string_lossy().into_owned();
        Ok(topics
            .iter()
            .map(|&topic| {
                let error = sys::rd_kafka_TopicDescription_error(topic);
                let code = sys::rd_kafka_error_code(error);
                let name = text(sys::rd_kafka_TopicDescription_name(topic));
                let mut partitions = 0;
                sys::rd_kafka_TopicDescription_partitions(topic, &mut partitions);
                let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
                if code == Code::RD_KAFKA_RESP_ERR_NO_ERROR {
                    let id = sys::rd_kafka_TopicDescription_topic_id(topic);
                    // As Kafka prints it: URL-safe, which librdkafka's text is not.
                    let id = text(sys::rd_kafka_Uuid_base64str(id)).replace('/', "_").replace('+', "-");
                    Described { name, id, partitions, error: None }
                } else {
                    Described { name, id: String::new(), partitions, error: Some(describe(code)) }
                }
            })
            .collect())
    }
}

fn check(code: Code) -> Result<(), String> {
    if code == Code::RD_KAFKA_RESP_ERR_NO_ERROR { Ok(()) } else { Err(describe(code)) }
}

unsafe fn check_error(error: *mut sys::rd_kafka_error_t) -> Result<(), String> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the error is ours to read and destroy.
    unsafe {
        let text = CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into_owned();
        sys::rd_kafka_error_destroy(error);
        Err(text)
    }
}

/// Whether the group's protocol moves partitions one by one; the handle must be alive.
unsafe fn is_cooperative(rk: *mut sys::rd_kafka_t) -> bool {
    // SAFETY: librdkafka returns a static string or null.
    unsafe {
        let protocol = sys::rd_kafka_rebalance_protocol(rk);
        !protocol.is_null() && CStr::from_ptr(protocol).to_bytes() == b"COOPERATIVE"
    }
}

extern "C" fn on_rebalance(
    rk: *mut sys::rd_kafka_t,
    err: Code,
    partitions: *mut sys::rd_kafka_topic_partition_list_t,
    opaque: *mut c_void,
) {
    // SAFETY: `opaque` is the `Shared` of the handle being polled or closed; the list is valid.
    unsafe {
        let shared = &*opaque.cast::<Shared>();
        if shared.closing.load(Ordering::Acquire) {
            if is_cooperative(rk) && err == Code::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS {
                let _ = check_error(sys::rd_kafka_incremental_unassign(rk, partitions));
            } else {
                sys::rd_kafka_assign(rk, ptr::null());
            }
            return;
        }
        let lanes = partitions.as_ref().map_or(&[][..], |list| slice_of(list));
        let lanes = lanes
            .iter()
            .map(|lane| (CStr::from_ptr(lane.topic).to_string_lossy().into_owned(), lane.partition))
            .collect();
        let rebalance = match err {
            Code::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => RawRebalance::Assign(lanes),
            Code::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => RawRebalance::Revoke(lanes),
            other => RawRebalance::Failed(describe(other)),
        };
        shared.rebalances.lock().unwrap_or_else(PoisonError::into_inner).push(rebalance);
    }
}

extern "C" fn on_log(_: *const sys::rd_kafka_t, level: c_int, facility: *const c_char, text: *const c_char) {
    // SAFETY: librdkafka passes valid strings.
    let (facility, text) =
        unsafe { (CStr::from_ptr(facility).to_string_lossy(), CStr::from_ptr(text).to_string_lossy()) };
    match level {
        0..=3 => tracing::warn!(target: "librdkafka", "{facility}: {text}"),
        4 => tracing::info!(target: "librdkafka", "{facility}: {text}"),
        _ => tracing::debug!(target: "librdkafka", "{facility}: {text}"),
    }
}

extern "C" fn on_error(_: *mut sys::rd_kafka_t, _: c_int, reason: *const c_char, _: *mut c_void) {
    // SAFETY: librdkafka passes a valid string.
    let reason = unsafe { CStr::from_ptr(reason).to_string_lossy() };
    tracing::debug!(target: "librdkafka", "{reason}");
}
