//! The two baselines: librdkafka's own batch loop through its C functions, and rust-rdkafka's poll
//! loop. Both read the topic from its beginning to its end with the properties that odometer's
//! consumer has, count records and bytes, and drop them.

use std::ffi::{CStr, CString};
use std::ptr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use odometer::config::Config;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rdkafka_sys as sys;
use sys::rd_kafka_resp_err_t as Code;

/// As odometer's own poll.
const TIMEOUT: Duration = Duration::from_millis(20);
const BATCH: usize = 2_000;

#[derive(Args)]
pub struct Consume {
    /// odometer's configuration: brokers, properties.
    #[arg(long)]
    config: std::path::PathBuf,
    #[arg(long)]
    topic: String,
    #[arg(long)]
    partitions: i32,
    #[arg(long, value_enum)]
    by: Loop,
}

#[derive(Clone, Copy, ValueEnum)]
enum Loop {
    /// `rd_kafka_consume_batch_queue`
    Batch,
    /// `BaseConsumer::poll`
    Poll,
}

#[derive(Default)]
struct Read {
    records: u64,
    bytes: u64,
}

impl Read {
    fn add(&mut self, bytes: usize) {
        if self.records == 0 {
            println!("begin");
        }
        self.records += 1;
        self.bytes += bytes as u64;
    }
}

impl Consume {
    pub fn run(&self) -> anyhow::Result<()> {
        let settings = Config::load(Some(&self.config))?.source_settings()?;
        let properties: Vec<_> = settings.consumer_properties().into_iter().collect();
        let read = match self.by {
            Loop::Batch => self.by_batch(&properties),
            Loop::Poll => self.by_poll(&properties),
        }?;
        println!("end {} {}", read.records, read.bytes);
        Ok(())
    }

    fn by_poll(&self, properties: &[(String, String)]) -> anyhow::Result<Read> {
        let config: ClientConfig = properties.iter().cloned().collect();
        let consumer: BaseConsumer = config.create().context("make consumer")?;
        let mut assignment = TopicPartitionList::new();
        for partition in 0..self.partitions {
            assignment.add_partition_offset(&self.topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&assignment)?;
        let (mut read, mut ends) = (Read::default(), 0);
        while ends < self.partitions {
            match consumer.poll(TIMEOUT) {
                None => {}
                Some(Ok(message)) => read.add(message.key_len() + message.payload_len()),
                Some(Err(KafkaError::PartitionEOF(_))) => ends += 1,
                Some(Err(error)) => return Err(error).context("poll"),
            }
        }
        Ok(read)
    }

    fn by_batch(&self, properties: &[(String, String)]) -> anyhow::Result<Read> {
        let topic = CString::new(self.topic.as_str())?;
        let mut reason = [0; 512];
        // SAFETY: each object is made, used and destroyed here; `rd_kafka_new` takes the
        // configuration; a batch's messages are looked at before they are destroyed, once each.
        unsafe {
            let conf = sys::rd_kafka_conf_new();
            for (name, value) in properties {
                let (name, value) = (CString::new(name.as_str())?, CString::new(value.as_str())?);
                let set = sys::rd_kafka_conf_set(
                    conf,
                    name.as_ptr(),
                    value.as_ptr(),
                    reason.as_mut_ptr(),
                    reason.len(),
                );
                let is_set = matches!(set, sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK);
                ensure!(is_set, "set property: {}", CStr::from_ptr(reason.as_ptr()).to_string_lossy());
            }
            let kind = sys::rd_kafka_type_t::RD_KAFKA_CONSUMER;
            let client = sys::rd_kafka_new(kind, conf, reason.as_mut_ptr(), reason.len());
            if client.is_null() {
                bail!("make consumer: {}", CStr::from_ptr(reason.as_ptr()).to_string_lossy());
            }
            sys::rd_kafka_poll_set_consumer(client);
            let list = sys::rd_kafka_topic_partition_list_new(self.partitions);
            for partition in 0..self.partitions {
                let lane = sys::rd_kafka_topic_partition_list_add(list, topic.as_ptr(), partition);
                (*lane).offset = i64::from(sys::RD_KAFKA_OFFSET_BEGINNING);
            }
            let code = sys::rd_kafka_assign(client, list);
            sys::rd_kafka_topic_partition_list_destroy(list);
            ensure!(code == Code::RD_KAFKA_RESP_ERR_NO_ERROR, "assign: {code:?}");

            let queue = sys::rd_kafka_queue_get_consumer(client);
            let mut batch = vec![ptr::null_mut(); BATCH];
            let (mut read, mut ends) = (Read::default(), 0);
            while ends < self.partitions {
                let wait = TIMEOUT.as_millis() as i32;
                let taken = sys::rd_kafka_consume_batch_queue(queue, wait, batch.as_mut_ptr(), batch.len());
                ensure!(taken >= 0, "consume batch: {taken}");
                for &message in &batch[..taken as usize] {
                    match (*message).err {
                        Code::RD_KAFKA_RESP_ERR_NO_ERROR => read.add((*message).key_len + (*message).len),
                        Code::RD_KAFKA_RESP_ERR__PARTITION_EOF => ends += 1,
                        code => bail!("consume batch: {code:?}"),
                    }
                    sys::rd_kafka_message_destroy(message);
                }
            }
            sys::rd_kafka_queue_destroy(queue);
            sys::rd_kafka_consumer_close(client);
            sys::rd_kafka_destroy(client);
            Ok(read)
        }
    }
}
