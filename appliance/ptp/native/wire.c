#include "wire.h"

#include <string.h>

enum { NS_PER_S = 1000000000 };

/* Fixed part per message type (IEEE 1588-2019, 13.6 to 13.12); 0 marks a reserved type. */
static const struct {
    uint8_t fixed_size;
    bool has_timestamp; /* at offset 34 */
    bool has_target;    /* at offset 34 */
} layouts[16] = {
    [PTP_SYNC] = {44, true, false},
    [PTP_DELAY_REQ] = {44, true, false},
    [PTP_PDELAY_REQ] = {54, true, false},
    [PTP_PDELAY_RESP] = {54, true, false},
    [PTP_FOLLOW_UP] = {44, true, false},
    [PTP_DELAY_RESP] = {54, true, false},
    [PTP_PDELAY_RESP_FOLLOW_UP] = {54, true, false},
    [PTP_ANNOUNCE] = {64, true, false},
    [PTP_SIGNALING] = {44, false, true},
    [PTP_MANAGEMENT] = {48, false, true},
};

/* TLVs whose size is fixed; a type not listed may have any even size. */
static const struct {
    uint16_t type;
    uint16_t size;
} tlv_sizes[] = {
    {PTP_TLV_REQUEST_UNICAST, 6},    {PTP_TLV_GRANT_UNICAST, 8},           {PTP_TLV_CANCEL_UNICAST, 2},
    {PTP_TLV_ACKNOWLEDGE_CANCEL, 2}, {PTP_TLV_ALTERNATE_RESPONSE_PORT, 2},
};

static uint64_t get(const uint8_t *from, size_t bytes)
{
    uint64_t value = 0;

    for (size_t i = 0; i < bytes; i++) {
        value = value << 8 | from[i];
    }
    return value;
}

static void put(uint8_t *to, size_t bytes, uint64_t value)
{
    for (size_t i = bytes; i-- > 0; value >>= 8) {
        to[i] = (uint8_t)value;
    }
}

static bool tlv_size_fits(uint16_t type, uint16_t size)
{
    if (type == PTP_TLV_PATH_TRACE) {
        return size % 8 == 0; /* clock identities */
    }
    for (size_t i = 0; i < sizeof(tlv_sizes) / sizeof(tlv_sizes[0]); i++) {
        if (tlv_sizes[i].type == type) {
            return tlv_sizes[i].size == size;
        }
    }
    return true;
}

static enum ptp_verdict parse_tlvs(const uint8_t *data, size_t at, struct ptp_message *message)
{
    while (message->length - at >= 4) {
        uint16_t type = (uint16_t)get(data + at, 2);
        uint16_t size = (uint16_t)get(data + at + 2, 2);

        at += 4;
        if (size % 2 != 0 || size > message->length - at || !tlv_size_fits(type, size)) {
            return PTP_BAD_TLV;
        }
        if (message->tlv_count < PTP_TLVS_MAX) {
            message->tlv[message->tlv_count++] = (struct ptp_tlv){type, size, data + at};
        } else {
            message->tlv_excess++;
        }
        at += size;
    }
    return at == message->length ? PTP_OK : PTP_BAD_TLV;
}

enum ptp_verdict ptp_parse(const uint8_t *data, size_t size, const struct ptp_self *self,
                           struct ptp_message *message)
{
    size_t fixed_size;

    if (size < PTP_HEADER_SIZE) {
        return PTP_BAD_SIZE;
    }
    if ((data[1] & 0x0F) != 2) {
        return PTP_BAD_VERSION;
    }
    message->type = data[0] & 0x0F;
    fixed_size = layouts[message->type].fixed_size;
    if (fixed_size == 0) {
        return PTP_BAD_TYPE;
    }
    if (data[0] >> 4 != self->major_sdo_id) {
        return PTP_BAD_SDO;
    }
    if (data[4] != self->domain) {
        return PTP_BAD_DOMAIN;
    }
    if (size < fixed_size) {
        return PTP_BAD_SIZE;
    }
    message->length = (uint16_t)get(data + 2, 2);
    if (message->length > size || message->length < fixed_size) {
        return PTP_BAD_LENGTH;
    }
    if (size - message->length > PTP_TRAILER_MAX) {
        return PTP_BAD_TRAILER;
    }
    message->identity = get(data + 20, 8);
    if (message->identity == self->identity) {
        return PTP_OWN_IDENTITY;
    }
    message->minor_version = data[1] >> 4;
    message->flags = (uint16_t)get(data + 6, 2);
    message->correction_2p16 = (int64_t)get(data + 8, 8);
    message->port_number = (uint16_t)get(data + 28, 2);
    message->sequence = (uint16_t)get(data + 30, 2);
    message->control = data[32];
    message->log_interval = (int8_t)data[33];
    if (layouts[message->type].has_timestamp) {
        message->origin_s = get(data + 34, 6);
        message->origin_ns = (uint32_t)get(data + 40, 4);
        if (message->origin_ns >= NS_PER_S) {
            return PTP_BAD_NANOSECONDS;
        }
    }
    if (layouts[message->type].has_target) {
        message->target_identity = get(data + 34, 8);
        message->target_port_number = (uint16_t)get(data + 42, 2);
    }
    message->tlv_count = 0;
    message->tlv_excess = 0;
    if (message->type == PTP_SIGNALING && message->length == fixed_size) {
        return PTP_BAD_TLV; /* Signaling carries at least one */
    }
    return parse_tlvs(data, fixed_size, message);
}

uint16_t ptp_response_port_offset(const struct ptp_message *message)
{
    for (uint32_t i = 0; i < message->tlv_count; i++) {
        if (message->tlv[i].type == PTP_TLV_ALTERNATE_RESPONSE_PORT) {
            return (uint16_t)get(message->tlv[i].value, 2);
        }
    }
    return 0;
}

bool ptp_targets_us(const struct ptp_message *message, const struct ptp_self *self)
{
    return (message->target_identity == self->identity ||
            message->target_identity == PTP_WILDCARD_IDENTITY) &&
           (message->target_port_number == PTP_PORT_NUMBER ||
            message->target_port_number == PTP_WILDCARD_PORT);
}

static void put_timestamp(uint8_t *to, int64_t tai_ns)
{
    put(to, 6, (uint64_t)(tai_ns / NS_PER_S));
    put(to + 6, 4, (uint64_t)(tai_ns % NS_PER_S));
}

static void put_port_identity(uint8_t *to, uint64_t identity, uint16_t port_number)
{
    put(to, 8, identity);
    put(to + 8, 2, port_number);
}

static size_t put_header(uint8_t *out, const struct ptp_self *self, enum ptp_type type, uint16_t flags,
                         uint16_t sequence, int8_t log_interval)
{
    /* controlField: deprecated, still looked at by older receivers; the values of Meta's server */
    static const uint8_t controls[16] = {[PTP_FOLLOW_UP] = 2, [PTP_DELAY_RESP] = 3, [PTP_ANNOUNCE] = 5};
    size_t length = layouts[type].fixed_size;

    memset(out, 0, length);
    out[0] = (uint8_t)(self->major_sdo_id << 4 | type);
    out[1] = (uint8_t)(self->minor_version << 4 | 2);
    put(out + 2, 2, length);
    out[4] = self->domain;
    put(out + 6, 2, flags);
    put_port_identity(out + 20, self->identity, PTP_PORT_NUMBER);
    put(out + 30, 2, sequence);
    out[32] = controls[type];
    out[33] = (uint8_t)log_interval;
    return length;
}

size_t ptp_build_sync(uint8_t *out, const struct ptp_self *self, uint16_t sequence, int64_t origin_tai_ns)
{
    size_t length =
        put_header(out, self, PTP_SYNC, PTP_FLAG_UNICAST | PTP_FLAG_TWO_STEP, sequence, PTP_INTERVAL_NONE);

    put_timestamp(out + 34, origin_tai_ns);
    return length;
}

size_t ptp_build_follow_up(uint8_t *out, const struct ptp_self *self, uint16_t sequence,
                           int64_t origin_tai_ns, int8_t log_interval)
{
    size_t length = put_header(out, self, PTP_FOLLOW_UP, PTP_FLAG_UNICAST, sequence, log_interval);

    put_timestamp(out + 34, origin_tai_ns);
    return length;
}

size_t ptp_build_delay_resp(uint8_t *out, const struct ptp_self *self, const struct ptp_message *request,
                            int64_t receive_tai_ns)
{
    size_t length =
        put_header(out, self, PTP_DELAY_RESP, PTP_FLAG_UNICAST, request->sequence, PTP_INTERVAL_NONE);

    put(out + 8, 8, (uint64_t)request->correction_2p16);
    put_timestamp(out + 34, receive_tai_ns);
    put_port_identity(out + 44, request->identity, request->port_number);
    return length;
}

size_t ptp_build_announce(uint8_t *out, const struct ptp_self *self, const struct clock_announce *announce,
                          uint16_t sequence, int64_t origin_tai_ns, int64_t correction_2p16,
                          int8_t log_interval)
{
    bool after = announce->leap_tai_ns != 0 && origin_tai_ns >= announce->leap_tai_ns;
    uint8_t flags = after ? announce->flags_after : announce->flags;
    int16_t utc_offset_s = after ? announce->utc_offset_after_s : announce->current_utc_offset_s;
    size_t length = put_header(out, self, PTP_ANNOUNCE, PTP_FLAG_UNICAST | flags, sequence, log_interval);

    put(out + 8, 8, (uint64_t)correction_2p16);
    put_timestamp(out + 34, origin_tai_ns);
    put(out + 44, 2, (uint16_t)utc_offset_s);
    out[47] = announce->priority1;
    out[48] = announce->clock_class;
    out[49] = announce->clock_accuracy;
    put(out + 50, 2, announce->offset_scaled_log_variance);
    out[52] = announce->priority2;
    put(out + 53, 8, announce->grandmaster_identity);
    put(out + 61, 2, announce->steps_removed);
    out[63] = announce->time_source;
    return length;
}

size_t ptp_build_signaling(uint8_t *out, const struct ptp_self *self, uint64_t target_identity,
                           uint16_t target_port_number, uint16_t sequence)
{
    size_t length = put_header(out, self, PTP_SIGNALING, PTP_FLAG_UNICAST, sequence, PTP_INTERVAL_NONE);

    put_port_identity(out + 34, target_identity, target_port_number);
    return length;
}

static uint8_t *append_tlv(uint8_t *out, size_t *length, uint16_t type, uint16_t size)
{
    uint8_t *value = out + *length + 4;

    put(out + *length, 2, type);
    put(out + *length + 2, 2, size);
    memset(value, 0, size);
    *length += 4U + size;
    put(out + 2, 2, *length);
    return value;
}

size_t ptp_append_grant(uint8_t *out, size_t length, uint8_t type, int8_t log_period, uint32_t duration_s)
{
    uint8_t *value = append_tlv(out, &length, PTP_TLV_GRANT_UNICAST, 8);

    value[0] = (uint8_t)(type << 4);
    value[1] = (uint8_t)log_period;
    put(value + 2, 4, duration_s);
    value[7] = 1; /* R: renewal invited */
    return length;
}

size_t ptp_append_cancel(uint8_t *out, size_t length, enum ptp_tlv_type tlv, uint8_t type)
{
    uint8_t *value = append_tlv(out, &length, (uint16_t)tlv, 2);

    value[0] = (uint8_t)(type << 4);
    return length;
}
