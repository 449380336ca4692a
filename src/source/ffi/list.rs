//! Lists of partitions, as librdkafka takes and gives them.

use rdkafka_sys as sys;

use super::c_string;

/// An owned list of partitions.
pub struct List(pub(super) *mut sys::rd_kafka_topic_partition_list_t);

impl List {
    pub fn new() -> Self {
        // SAFETY: never null.
        Self(unsafe { sys::rd_kafka_topic_partition_list_new(8) })
    }

    pub fn add(
        &mut self,
        topic: &str,
        partition: i32,
    ) -> Result<&mut sys::rd_kafka_topic_partition_t, String> {
        let topic = c_string(topic)?;
        // SAFETY: the element belongs to the list and is lent no longer than it; the name is copied.
        Ok(unsafe { &mut *sys::rd_kafka_topic_partition_list_add(self.0, topic.as_ptr(), partition) })
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: owned, destroyed once.
        unsafe { sys::rd_kafka_topic_partition_list_destroy(self.0) }
    }
}

pub unsafe fn slice_of(list: &sys::rd_kafka_topic_partition_list_t) -> &[sys::rd_kafka_topic_partition_t] {
    let length = usize::try_from(list.cnt).unwrap_or(0);
    if length == 0 {
        return &[];
    }
    // SAFETY: librdkafka keeps `cnt` elements at `elems`.
    unsafe { std::slice::from_raw_parts(list.elems, length) }
}
