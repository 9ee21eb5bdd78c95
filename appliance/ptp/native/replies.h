/*
 * Reply sockets in pairs (event, general), and the Syncs whose transmit stamp is still awaited.
 *
 * A client keeps its pair, so that its packets keep their path through the network; TLV 0x2007 moves it to
 * another one. Stamps are matched by number, never by order.
 */
#ifndef PTP_REPLIES_H
#define PTP_REPLIES_H

#include <stdbool.h>
#include <stdint.h>

#include "endpoint.h"
#include "sockets.h"

struct scm_timestamping;

/* One packet's stamps, 0 where there is none: CLOCK_REALTIME and the NIC's PHC. */
struct stamps {
    int64_t software_ns;
    int64_t hardware_ns;
};

enum awaited_kind { AWAITED_NONE, AWAITED_SPTP, AWAITED_FOLLOW_UP };

/* A Sync on its way out, and what its second message (SPTP: Announce, else Follow_Up) will need. */
struct awaited {
    struct endpoint to; /* of the second message */
    int64_t sent_raw_ns;
    int64_t correction_2p16;   /* SPTP: CF2 */
    int64_t receive_source_ns; /* SPTP: T4 in the map's source clock ... */
    int64_t receive_tai_ns;    /* ... and as the Sync told it */
    uint32_t id;
    uint32_t epoch;
    uint16_t sequence;
    int8_t log_interval;
    uint8_t kind;
};

/* In flight per pair. Beyond it requests are dropped: the client asks again, a queue would only add delay. */
enum { AWAITED_MAX = 256, STAMPS_AT_ONCE = 64 };

struct reply_pair {
    int event_fd;
    int general_fd;
    uint32_t first_id; /* oldest that may still be awaited */
    uint32_t next_id;
    struct awaited awaited[AWAITED_MAX]; /* at id % AWAITED_MAX */
};

struct replies {
    struct reply_pair *pair[FAMILIES]; /* NULL for a family that is not served */
    uint32_t pairs;
    bool own_ids; /* we number the stamps; else the kernel counts the sends */
    struct socket_options options;
};

struct stamp_report {
    uint32_t id;
    struct stamps stamps;
};

bool replies_open(struct replies *replies, const bool families[FAMILIES], uint32_t pairs, bool own_ids,
                  const struct socket_options *options, struct start_error *error);
void replies_close(struct replies *replies);

/* The pair for a client: by identity and port number, moved on by `offset`. */
struct reply_pair *replies_choose(const struct replies *replies, int family, uint64_t identity,
                                  uint16_t port_number, uint16_t offset);

/* The place for the next Sync, or NULL when too many are awaited. Nothing is taken until pair_sent(). */
struct awaited *pair_next(struct reply_pair *pair);
void pair_sent(struct reply_pair *pair);

/* The awaited Sync with this stamp number, NULL when there is none (any more). */
struct awaited *pair_find(struct reply_pair *pair, uint32_t id);
void pair_done(struct reply_pair *pair, struct awaited *awaited);

/* Oldest awaited Sync, or NULL. */
struct awaited *pair_oldest(struct reply_pair *pair);

/* Forget everything awaited; returns how many. */
uint32_t pair_forget(struct reply_pair *pair);

/* Transmit stamps the kernel has ready, at most STAMPS_AT_ONCE. */
int pair_read_stamps(const struct reply_pair *pair, struct stamp_report *reports);

struct stamps stamps_from_kernel(const struct scm_timestamping *kernel);

#endif
