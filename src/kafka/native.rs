//! librdkafka's producer, behind a safe face: the one file with `unsafe`.
//!
//! The `rdkafka` crate's producers copy each payload, look topics up by name for each message, report
//! deliveries through an event queue that somebody must poll for a commit to end, and flush in steps of
//! 100 ms. This one caches topic handles, enqueues a batch by one call, and has only failed deliveries
//! reported (each makes the commit fail, abort required). They are reported as events to librdkafka's own
//! background thread: with a delivery callback flush and commit sleep in steps of 10 ms, which a successful
//! delivery does not end early; with events they wait for the last message and for nothing else.
//!
//! The one subtle rule: payloads are not copied, so every `Arc<Batch>` that was enqueued is kept in
//! `held` until nothing is in flight, or the handle is gone.

#![allow(
    unsafe_code,
    reason = "librdkafka is a C library; each block says why it is sound"
)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::bindings as sys;
use sys::rd_kafka_vtype_t as VType;

use super::error::ClientError;
use crate::event::{Batch, Record};

const ERROR_TEXT_BYTES: usize = 512;
const PARTITION_OF_KEY: i32 = -1;

/// A producer handle.
#[derive(Debug)]
pub(super) struct Handle {
    client: *mut sys::rd_kafka_t,
    topics: Vec<*mut sys::rd_kafka_topic_t>,
    /// Batches that librdkafka may still point into.
    held: Vec<Arc<Batch>>,
    messages: Vec<sys::rd_kafka_message_t>,
    /// Error code of the last failed delivery; written by [`delivered`] on the background thread.
    failed: Box<AtomicI32>,
}

// SAFETY: librdkafka's handles may be used from any thread, and `&mut self` keeps callers apart.
unsafe impl Send for Handle {}

/// Why a message was not enqueued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// Index among the records offered.
    pub(super) index: usize,
    pub(super) code: sys::rd_kafka_resp_err_t,
}

/// Where and when one record goes.
#[derive(Clone, Copy)]
struct Place {
    /// Index of its topic.
    topic: u32,
    partition: Option<i32>,
    timestamp_ms: Option<i64>,
}

impl Handle {
    pub(super) fn new(config: &ClientConfig) -> Result<Self, ClientError> {
        let native = config.create_native_config().map_err(|error| {
            ClientError::new(
                sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__INVALID_ARG,
                error.to_string(),
            )
        })?;
        let mut text = [0 as c_char; ERROR_TEXT_BYTES];
        let failed = Box::new(AtomicI32::new(0));
        // SAFETY: `native` holds a valid configuration; librdkafka takes a copy that it owns from a
        // successful `rd_kafka_new` on; `text` is as long as said; `failed` is boxed and outlives the
        // client, which `drop` destroys first.
        let client = unsafe {
            let conf = sys::rd_kafka_conf_dup(native.ptr());
            sys::rd_kafka_conf_set_log_cb(conf, Some(log));
            sys::rd_kafka_conf_set_events(conf, sys::RD_KAFKA_EVENT_DR);
            sys::rd_kafka_conf_set_background_event_cb(conf, Some(delivered));
            sys::rd_kafka_conf_set_opaque(conf, ptr::from_ref(&*failed).cast_mut().cast());
            let client = sys::rd_kafka_new(
                sys::rd_kafka_type_t::RD_KAFKA_PRODUCER,
                conf,
                text.as_mut_ptr(),
                text.len(),
            );
            if client.is_null() {
                sys::rd_kafka_conf_destroy(conf);
            }
            client
        };
        if client.is_null() {
            // SAFETY: librdkafka has written a terminated text.
            let reason = unsafe { CStr::from_ptr(text.as_ptr()) }
                .to_string_lossy()
                .into_owned();
            let code = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__INVALID_ARG;
            return Err(ClientError::new(code, reason));
        }
        // SAFETY: the client lives, and has a background queue because it has a callback for it; each
        // reference taken here is given back.
        unsafe {
            let reports = sys::rd_kafka_queue_get_main(client);
            let background = sys::rd_kafka_queue_get_background(client);
            sys::rd_kafka_queue_forward(reports, background);
            sys::rd_kafka_queue_destroy(background);
            sys::rd_kafka_queue_destroy(reports);
        }
        Ok(Handle {
            client,
            topics: Vec::new(),
            held: Vec::new(),
            messages: Vec::new(),
            failed,
        })
    }

    /// Caches a topic's handle; its index names it in records.
    pub(super) fn topic(&mut self, name: &str) -> Result<u32, ClientError> {
        let invalid = |reason: String| {
            ClientError::new(
                sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__INVALID_ARG,
                reason,
            )
        };
        let text = CString::new(name).map_err(|error| invalid(error.to_string()))?;
        // SAFETY: the client lives, and a null configuration asks for the client's defaults.
        let topic = unsafe { sys::rd_kafka_topic_new(self.client, text.as_ptr(), ptr::null_mut()) };
        if topic.is_null() {
            return Err(invalid(format!(
                "topic \"{name}\" was refused by the client"
            )));
        }
        self.topics.push(topic);
        u32::try_from(self.topics.len() - 1).map_err(|_| invalid("too many topics".to_owned()))
    }

    /// Waits until the partitions of every cached topic are known. Before that librdkafka would register
    /// a message of a given partition with the transaction as one of partition -1, which no broker knows.
    pub(super) fn await_topics(&mut self, timeout: Duration) -> Result<(), ClientError> {
        let mut metadata = ptr::null();
        // SAFETY: the client lives; the answer, if there is one, is destroyed after it is all used.
        let code = unsafe {
            let code = sys::rd_kafka_metadata(
                self.client,
                0,
                ptr::null_mut(),
                &raw mut metadata,
                milliseconds(timeout),
            );
            if !metadata.is_null() {
                sys::rd_kafka_metadata_destroy(metadata);
            }
            code
        };
        check(code)
    }

    pub(super) fn init_transactions(&mut self, timeout: Duration) -> Result<(), ClientError> {
        // SAFETY: the client lives; the error, if any, is taken over.
        take(unsafe { sys::rd_kafka_init_transactions(self.client, milliseconds(timeout)) })
    }

    pub(super) fn begin(&mut self) -> Result<(), ClientError> {
        // SAFETY: as above.
        take(unsafe { sys::rd_kafka_begin_transaction(self.client) })
    }

    pub(super) fn commit(&mut self, timeout: Duration) -> Result<(), ClientError> {
        // SAFETY: as above.
        take(unsafe { sys::rd_kafka_commit_transaction(self.client, milliseconds(timeout)) })?;
        self.release();
        Ok(())
    }

    pub(super) fn abort(&mut self, timeout: Duration) -> Result<(), ClientError> {
        // SAFETY: as above.
        take(unsafe { sys::rd_kafka_abort_transaction(self.client, milliseconds(timeout)) })?;
        self.release();
        Ok(())
    }

    pub(super) fn flush(&mut self, timeout: Duration) -> Result<(), ClientError> {
        // SAFETY: the client lives.
        let code = unsafe { sys::rd_kafka_flush(self.client, milliseconds(timeout)) };
        check(code)?;
        self.release();
        match self.failed.swap(0, Ordering::Relaxed) {
            0 => Ok(()),
            _ => Err(ClientError::new(
                sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__FAIL,
                "a record was not delivered".to_owned(),
            )),
        }
    }

    /// Messages not yet delivered.
    pub(super) fn in_flight(&self) -> c_int {
        // SAFETY: the client lives.
        unsafe { sys::rd_kafka_outq_len(self.client) }
    }

    /// The fatal error, if the client has met one.
    pub(super) fn fatal(&self) -> Option<ClientError> {
        let mut text = [0 as c_char; ERROR_TEXT_BYTES];
        // SAFETY: the client lives, and `text` is as long as said.
        let code = unsafe { sys::rd_kafka_fatal_error(self.client, text.as_mut_ptr(), text.len()) };
        if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        // SAFETY: librdkafka has written a terminated text.
        let reason = unsafe { CStr::from_ptr(text.as_ptr()) }
            .to_string_lossy()
            .into_owned();
        Some(ClientError {
            code,
            reason,
            fatal: true,
            retriable: false,
            abort: false,
        })
    }

    /// Keeps the batch until nothing is in flight.
    pub(super) fn hold(&mut self, batch: &Arc<Batch>) {
        if !self.held.iter().any(|held| Arc::ptr_eq(held, batch)) {
            self.held.push(Arc::clone(batch));
        }
    }

    fn release(&mut self) {
        if self.in_flight() == 0 {
            self.held.clear();
        }
    }

    /// Enqueues records of one topic in their order, without copying their values, and without headers and times.
    /// `batch` must be held. Returns the first that was refused; others may have been enqueued, so the
    /// transaction has to be aborted.
    pub(super) fn enqueue(
        &mut self,
        batch: &Batch,
        topic: u32,
        records: &[u32],
    ) -> Result<(), Refused> {
        let Some(handle) = self.topics.get(topic as usize).copied() else {
            return Err(unknown_topic(0));
        };
        self.messages.clear();
        let find = |index: &u32| batch.records.get(*index as usize);
        self.messages.extend(
            records
                .iter()
                .filter_map(find)
                .map(|record| message(batch, record)),
        );
        let count = c_int::try_from(self.messages.len()).unwrap_or(c_int::MAX);
        // SAFETY: handle and messages are valid for the call; the values they point to are held until
        // they have been delivered; keys are copied by librdkafka.
        let queued = unsafe {
            sys::rd_kafka_produce_batch(
                handle,
                PARTITION_OF_KEY,
                sys::RD_KAFKA_MSG_F_PARTITION,
                self.messages.as_mut_ptr(),
                count,
            )
        };
        if queued == count {
            return Ok(());
        }
        let refused = self
            .messages
            .iter()
            .enumerate()
            .find_map(|(index, message)| {
                let code = message.err;
                let fine = code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
                (!fine).then_some(Refused { index, code })
            });
        Err(refused.unwrap_or(unknown_topic(0)))
    }

    /// Enqueues one record with its headers and time, value not copied. `batch` must be held.
    pub(super) fn enqueue_with_headers(
        &mut self,
        batch: &Batch,
        record: &Record,
    ) -> Result<(), ClientError> {
        // SAFETY: plain allocation; freed below unless librdkafka takes it over.
        let headers = unsafe { sys::rd_kafka_headers_new(record.headers.len()) };
        let range = record.headers.start as usize..record.headers.end as usize;
        for header in batch.headers.get(range).unwrap_or_default() {
            let value = batch.slice(&header.value);
            // SAFETY: name and value are valid for the call, which copies both.
            unsafe {
                sys::rd_kafka_header_add(
                    headers,
                    header.name.as_ptr().cast(),
                    header.name.len().cast_signed(),
                    value.as_ptr().cast(),
                    value.len().cast_signed(),
                );
            }
        }
        let key = record.key.as_ref().map(|range| batch.slice(range));
        let value = record.value.as_ref().map(|range| batch.slice(range));
        let to = Place {
            topic: record.topic,
            partition: record.partition,
            timestamp_ms: record.timestamp_ms,
        };
        let result = self.produce(to, key, value, headers, false);
        if result.is_err() {
            // SAFETY: librdkafka takes the headers over only when it has enqueued the message.
            unsafe { sys::rd_kafka_headers_destroy(headers) };
        }
        result
    }

    /// Enqueues one record whose value is copied.
    pub(super) fn enqueue_copy(
        &mut self,
        topic: u32,
        partition: Option<i32>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), ClientError> {
        let to = Place {
            topic,
            partition,
            timestamp_ms: None,
        };
        self.produce(to, key, value, ptr::null_mut(), true)
    }

    fn produce(
        &mut self,
        to: Place,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: *mut sys::rd_kafka_headers_t,
        copy: bool,
    ) -> Result<(), ClientError> {
        let Some(handle) = self.topics.get(to.topic as usize).copied() else {
            return Err(ClientError::new(
                unknown_topic(0).code,
                "unknown topic index".to_owned(),
            ));
        };
        let (key, key_len) = parts(key);
        let (value, value_len) = parts(value);
        let flags = if copy { sys::RD_KAFKA_MSG_F_COPY } else { 0 };
        let mut arguments = vec![
            argument(VType::RD_KAFKA_VTYPE_RKT, |u| u.rkt = handle),
            argument(VType::RD_KAFKA_VTYPE_PARTITION, |u| {
                u.i32_ = to.partition.unwrap_or(PARTITION_OF_KEY);
            }),
            argument(VType::RD_KAFKA_VTYPE_MSGFLAGS, |u| u.i = flags),
            argument(VType::RD_KAFKA_VTYPE_KEY, |u| {
                u.mem = sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
                    ptr: key,
                    size: key_len,
                };
            }),
            argument(VType::RD_KAFKA_VTYPE_VALUE, |u| {
                u.mem = sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
                    ptr: value,
                    size: value_len,
                };
            }),
        ];
        if let Some(timestamp_ms) = to.timestamp_ms {
            arguments.push(argument(VType::RD_KAFKA_VTYPE_TIMESTAMP, |u| {
                u.i64_ = timestamp_ms;
            }));
        }
        if !headers.is_null() {
            arguments.push(argument(VType::RD_KAFKA_VTYPE_HEADERS, |u| {
                u.headers = headers;
            }));
        }
        // SAFETY: the arguments are valid for the call; a value that is not copied is held.
        take(unsafe { sys::rd_kafka_produceva(self.client, arguments.as_ptr(), arguments.len()) })
    }
}

/// Asks for a topic's id, which a topic of the same name created later does not have. Zero where the
/// broker is too old to have ids. `client` is any client of the cluster.
pub(super) fn topic_id<C: rdkafka::ClientContext>(
    client: &rdkafka::client::Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<u128, ClientError> {
    use sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS as OPERATION;
    use sys::rd_kafka_resp_err_t as Code;
    let name = CString::new(topic).map_err(|error| {
        ClientError::new(Code::RD_KAFKA_RESP_ERR__INVALID_ARG, error.to_string())
    })?;
    let (client, mut names) = (client.native_ptr(), [name.as_ptr()]);
    // SAFETY: the client lives for the call; everything made here is destroyed here, the request's
    // answer after the last use of what points into it.
    unsafe {
        let queue = sys::rd_kafka_queue_new(client);
        let options = sys::rd_kafka_AdminOptions_new(client, OPERATION);
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        let limit = milliseconds(timeout);
        // Refused only out of bounds, and then the client's own time-out holds.
        sys::rd_kafka_AdminOptions_set_request_timeout(options, limit, ptr::null_mut(), 0);
        sys::rd_kafka_DescribeTopics(client, topics, options, queue);
        let event = sys::rd_kafka_queue_poll(queue, limit);
        let id = described_id(event);
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_TopicCollection_destroy(topics);
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_queue_destroy(queue);
        id
    }
}

/// The first topic's id in an answer to DescribeTopics.
///
/// # Safety
/// `event` is null or an answer that the caller keeps until this returns.
unsafe fn described_id(event: *mut sys::rd_kafka_event_t) -> Result<u128, ClientError> {
    use sys::rd_kafka_resp_err_t as Code;
    if event.is_null() {
        let code = Code::RD_KAFKA_RESP_ERR__TIMED_OUT;
        return Err(ClientError::new(code, describe(code)));
    }
    // SAFETY: results and descriptions live as long as the event; the count is written before use.
    unsafe {
        check(sys::rd_kafka_event_error(event))?;
        let mut count = 0;
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if count == 0 {
            let code = Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
            return Err(ClientError::new(code, describe(code)));
        }
        let topic = *topics;
        let error = sys::rd_kafka_TopicDescription_error(topic);
        if !error.is_null() {
            check(sys::rd_kafka_error_code(error))?;
        }
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        let half = |bits: i64| u128::from(bits.cast_unsigned());
        Ok(half(sys::rd_kafka_Uuid_most_significant_bits(id)) << 64
            | half(sys::rd_kafka_Uuid_least_significant_bits(id)))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: nothing uses the handles after this; what is still queued is purged first, so that
        // destroying does not wait for a broker, and `held` is freed after it.
        unsafe {
            sys::rd_kafka_purge(
                self.client,
                sys::RD_KAFKA_PURGE_F_QUEUE | sys::RD_KAFKA_PURGE_F_INFLIGHT,
            );
            for topic in self.topics.drain(..) {
                sys::rd_kafka_topic_destroy(topic);
            }
            sys::rd_kafka_destroy(self.client);
        }
    }
}

fn message(batch: &Batch, record: &Record) -> sys::rd_kafka_message_t {
    let (key, key_len) = parts(record.key.as_ref().map(|range| batch.slice(range)));
    let (payload, len) = parts(record.value.as_ref().map(|range| batch.slice(range)));
    sys::rd_kafka_message_t {
        err: sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
        rkt: ptr::null_mut(),
        partition: record.partition.unwrap_or(PARTITION_OF_KEY),
        payload,
        len,
        key,
        key_len,
        offset: 0,
        _private: ptr::null_mut(),
    }
}

/// Pointer and length; null for none, which librdkafka tells apart from empty.
fn parts(bytes: Option<&[u8]>) -> (*mut c_void, usize) {
    bytes.map_or((ptr::null_mut(), 0), |bytes| {
        (bytes.as_ptr().cast_mut().cast(), bytes.len())
    })
}

fn argument(
    vtype: VType,
    set: impl FnOnce(&mut sys::rd_kafka_vu_s__bindgen_ty_1),
) -> sys::rd_kafka_vu_t {
    let mut u = sys::rd_kafka_vu_s__bindgen_ty_1 { _pad: [0; 64] };
    set(&mut u);
    sys::rd_kafka_vu_t { vtype, u }
}

fn unknown_topic(index: usize) -> Refused {
    Refused {
        index,
        code: sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
    }
}

fn milliseconds(duration: Duration) -> c_int {
    c_int::try_from(duration.as_millis()).unwrap_or(c_int::MAX)
}

/// Takes over an error object.
fn take(error: *mut sys::rd_kafka_error_t) -> Result<(), ClientError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the object is ours, and is freed once it has been read.
    unsafe {
        let taken = ClientError {
            code: sys::rd_kafka_error_code(error),
            reason: CStr::from_ptr(sys::rd_kafka_error_string(error))
                .to_string_lossy()
                .into_owned(),
            fatal: sys::rd_kafka_error_is_fatal(error) != 0,
            retriable: sys::rd_kafka_error_is_retriable(error) != 0,
            abort: sys::rd_kafka_error_txn_requires_abort(error) != 0,
        };
        sys::rd_kafka_error_destroy(error);
        Err(taken)
    }
}

fn check(code: sys::rd_kafka_resp_err_t) -> Result<(), ClientError> {
    if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    Err(ClientError::new(code, describe(code)))
}

/// librdkafka's text for an error code.
pub(super) fn describe(code: sys::rd_kafka_resp_err_t) -> String {
    // SAFETY: the text is static.
    unsafe { CStr::from_ptr(sys::rd_kafka_err2str(code)) }
        .to_string_lossy()
        .into_owned()
}

/// Called on librdkafka's background thread, for failed deliveries alone (`delivery.report.only.error`).
/// Destroying the event frees its messages, for which a flush waits.
unsafe extern "C" fn delivered(
    _client: *mut sys::rd_kafka_t,
    event: *mut sys::rd_kafka_event_t,
    opaque: *mut c_void,
) {
    // SAFETY: the event is ours to destroy, its messages live until then, and the opaque is the handle's
    // own counter.
    unsafe {
        loop {
            let message = sys::rd_kafka_event_message_next(event);
            if message.is_null() {
                break;
            }
            let code = (*message).err;
            if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                (*opaque.cast::<AtomicI32>()).store(code as i32, Ordering::Relaxed);
            }
        }
        sys::rd_kafka_event_destroy(event);
    }
}

unsafe extern "C" fn log(
    _client: *const sys::rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    text: *const c_char,
) {
    // SAFETY: librdkafka passes terminated texts that live for the call.
    let (facility, text) = unsafe { (CStr::from_ptr(facility), CStr::from_ptr(text)) };
    super::client::log(level, &facility.to_string_lossy(), &text.to_string_lossy());
}
