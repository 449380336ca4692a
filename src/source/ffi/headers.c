/* A record's headers as they came. librdkafka's public function makes a list of allocated copies of
 * them, for each record that is asked, which costs more than all else that is done to take a record.
 *
 * Compiled against the private headers of the librdkafka that is linked, so that another layout is
 * another build, and one without these fields doesn't compile. */
#include "rdkafka_int.h"
#include "rdkafka_msg.h"

/* The message was consumed and is no error. What is returned lives as long as the message; NULL, or a
 * size of 0, where there are no headers. */
const void *odometer_message_headers(const rd_kafka_message_t *message, size_t *size) {
        const rd_kafka_msg_t *consumed = (const rd_kafka_msg_t *)message;
        *size = (size_t)RD_KAFKAP_BYTES_LEN(&consumed->rkm_u.consumer.binhdrs);
        return consumed->rkm_u.consumer.binhdrs.data;
}
