/*
 * PTP messages: bytes to values and back. No sockets, no clocks, no memory of its own.
 *
 * Layouts follow IEEE 1588-2019 clause 13 (messages) and clause 14 (TLVs); SPTP is the use that Meta's client
 * makes of them. Identities are uint64_t with the first octet on the wire in the highest byte.
 */
#ifndef PTP_WIRE_H
#define PTP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock_page.h"

enum ptp_type {
    PTP_SYNC = 0x0,
    PTP_DELAY_REQ = 0x1,
    PTP_PDELAY_REQ = 0x2,
    PTP_PDELAY_RESP = 0x3,
    PTP_FOLLOW_UP = 0x8,
    PTP_DELAY_RESP = 0x9,
    PTP_PDELAY_RESP_FOLLOW_UP = 0xA,
    PTP_ANNOUNCE = 0xB,
    PTP_SIGNALING = 0xC,
    PTP_MANAGEMENT = 0xD,
};

enum ptp_tlv_type {
    PTP_TLV_REQUEST_UNICAST = 0x0004,
    PTP_TLV_GRANT_UNICAST = 0x0005,
    PTP_TLV_CANCEL_UNICAST = 0x0006,
    PTP_TLV_ACKNOWLEDGE_CANCEL = 0x0007,
    PTP_TLV_PATH_TRACE = 0x0008,
    PTP_TLV_ALTERNATE_RESPONSE_PORT = 0x2007,
};

enum {
    PTP_FLAG_TWO_STEP = 0x0200,
    PTP_FLAG_UNICAST = 0x0400,
    PTP_FLAGS_SPTP_REQUEST = 0x2400, /* unicast + profileSpecific1, and nothing else */
    PTP_HEADER_SIZE = 34,
    PTP_TIMESTAMPED_SIZE = 44, /* Sync, Delay_Req, Follow_Up; also Signaling before its TLVs */
    PTP_DELAY_RESP_SIZE = 54,
    PTP_ANNOUNCE_SIZE = 64,
    PTP_TLVS_MAX = 8,     /* read per message; more are counted and left unread */
    PTP_TRAILER_MAX = 3,  /* a fourth byte would be the head of a TLV */
    PTP_IPV6_TRAILER = 2, /* lets a transparent clock repair the UDP checksum */
    PTP_REPLY_MAX = 192,  /* the longest we build: Signaling with eight TLVs of 12, and a trailer */
    PTP_PORT_NUMBER = 1,  /* our one PTP port */
    PTP_WILDCARD_PORT = 0xFFFF,
    PTP_INTERVAL_NONE = 0x7F,
};
#define PTP_WILDCARD_IDENTITY UINT64_MAX
#define PTP_CORRECTION_LIMIT (10LL * 1000000000LL * 65536LL) /* 10 s: more is no residence time */

/* Why a datagram was not taken. The order is that of the counters `dropped.*`. */
enum ptp_verdict {
    PTP_OK,
    PTP_BAD_SIZE,        /* shorter than the header or than the message's fixed body */
    PTP_BAD_LENGTH,      /* messageLength beyond the datagram or below the fixed body */
    PTP_BAD_TRAILER,     /* more than PTP_TRAILER_MAX bytes after the message */
    PTP_BAD_VERSION,     /* versionPTP is not 2 */
    PTP_BAD_SDO,         /* majorSdoId is not ours */
    PTP_BAD_DOMAIN,      /* domainNumber is not ours */
    PTP_BAD_TYPE,        /* reserved messageType */
    PTP_OWN_IDENTITY,    /* sent by us: a loop */
    PTP_BAD_NANOSECONDS, /* nanosecondsField is 1e9 or more */
    PTP_BAD_TLV,         /* odd, overrunning, wrongly sized or missing TLV */
    PTP_VERDICTS,
};

/* Who we are: compared on receive, written on send. */
struct ptp_self {
    uint64_t identity;
    uint8_t domain;
    uint8_t major_sdo_id;
    uint8_t minor_version;
};

struct ptp_tlv {
    uint16_t type;
    uint16_t length;
    const uint8_t *value; /* into the datagram */
};

struct ptp_message {
    uint8_t type;
    uint8_t minor_version;
    uint8_t control;
    int8_t log_interval;
    uint16_t length;
    uint16_t flags;
    uint16_t sequence;
    uint16_t port_number;
    uint64_t identity;
    int64_t correction_2p16; /* ns x 65536 */
    uint64_t origin_s;       /* first timestamp of the body, where the type has one */
    uint32_t origin_ns;
    uint16_t target_port_number; /* Signaling and Management */
    uint64_t target_identity;
    uint32_t tlv_count; /* kept in `tlv` */
    uint32_t tlv_excess;
    struct ptp_tlv tlv[PTP_TLVS_MAX];
};

/* Check and decode one datagram. `message` is complete only for PTP_OK; its TLVs point into `data`. */
enum ptp_verdict ptp_parse(const uint8_t *data, size_t size, const struct ptp_self *self,
                           struct ptp_message *message);

/* The reply port offset of TLV 0x2007; 0 without that TLV. */
uint16_t ptp_response_port_offset(const struct ptp_message *message);

/* Is the target of a Signaling message us? Wildcards may be mixed with exact parts. */
bool ptp_targets_us(const struct ptp_message *message, const struct ptp_self *self);

/* Each builder fills `out` (PTP_REPLY_MAX bytes) and returns messageLength. */
size_t ptp_build_sync(uint8_t *out, const struct ptp_self *self, uint16_t sequence, int64_t origin_tai_ns);
size_t ptp_build_follow_up(uint8_t *out, const struct ptp_self *self, uint16_t sequence,
                           int64_t origin_tai_ns, int8_t log_interval);
size_t ptp_build_delay_resp(uint8_t *out, const struct ptp_self *self, const struct ptp_message *request,
                            int64_t receive_tai_ns);
size_t ptp_build_announce(uint8_t *out, const struct ptp_self *self, const struct clock_announce *announce,
                          uint16_t sequence, int64_t origin_tai_ns, int64_t correction_2p16,
                          int8_t log_interval);

/* Signaling: start, then append TLVs; each append returns the new messageLength. */
size_t ptp_build_signaling(uint8_t *out, const struct ptp_self *self, uint64_t target_identity,
                           uint16_t target_port_number, uint16_t sequence);
size_t ptp_append_grant(uint8_t *out, size_t length, uint8_t type, int8_t log_period, uint32_t duration_s);
size_t ptp_append_cancel(uint8_t *out, size_t length, enum ptp_tlv_type tlv, uint8_t type);

#endif
