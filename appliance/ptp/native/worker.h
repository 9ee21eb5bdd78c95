/* What the event and the general thread have in common: receiving, time, replies. Internal to the server. */
#ifndef PTP_WORKER_H
#define PTP_WORKER_H

#include <sys/socket.h>

#include "host_clock.h"
#include "limiter.h"
#include "replies.h"
#include "server.h"

enum {
    BATCH = 64,
    DATAGRAM_SIZE = 1024, /* the longest taken: 8 TLVs need 140 */
    CONTROL_SIZE = 256,
    TICK_MS = 20, /* how often an idle worker looks at the clocks */
};

/* One datagram, its stamps and where it came from. */
struct arrival {
    const uint8_t *data;
    size_t size;
    struct endpoint from;
    struct stamps stamps;
};

struct listener {
    int fd;
    uint32_t overflows;
    bool distrusted; /* may still hold packets stamped before a step of CLOCK_REALTIME */
};

struct inbox {
    struct mmsghdr header[BATCH];
    struct iovec iov[BATCH];
    union socket_address peer[BATCH];
    _Alignas(8) uint8_t data[BATCH][DATAGRAM_SIZE];
    _Alignas(struct cmsghdr) char control[BATCH][CONTROL_SIZE];
};

struct worker {
    struct server *server;
    struct ptp_self self;
    pthread_t thread;
    bool started;
    int epoll_fd;
    int stop_fd;
    int timer_fd;      /* the general worker's next flow */
    bool wants_stamps; /* of what it receives */
    void (*arrived)(struct worker *, const struct arrival *, const struct ptp_message *);
    void (*after)(struct worker *); /* once per round; NULL for none */
    void (*leave)(struct worker *); /* at the end; NULL for none */
    _Atomic int64_t heartbeat_raw_ns;
    _Atomic bool alive;
    struct counters counters;
    struct clock_data clock; /* our copy of the page */
    uint64_t clock_generation;
    struct host_clock host;
    int64_t now_raw_ns;
    int64_t ticked_raw_ns;
    int64_t distrust_until_raw_ns;
    uint16_t signaling_sequence; /* of Signaling that answers nothing */
    uint32_t listeners;
    struct listener listener[SERVER_ADDRESSES_MAX];
    struct replies replies;
    struct limiter limiter;
    struct inbox inbox;
};

struct server {
    struct server_config config;
    const struct clock_page *page;
    struct worker event;
    struct worker general;
    struct contracts contracts;     /* changed by the general worker only, */
    pthread_mutex_t contracts_lock; /* which takes this to change them; others take it to look */
    pthread_mutex_t lifecycle_lock; /* start and stop, from whichever thread */
    _Atomic bool stop;
    _Atomic bool running;
    int phc_index;
    uint32_t interface_index[SERVER_ADDRESSES_MAX]; /* of config.interface */
};

/*
 * Open a worker in two steps, both workers' listeners before any reply socket: the kernel would otherwise be
 * free to give a reply socket the very port that is still to be bound. False with `error`; worker_close()
 * cleans up after either.
 */
bool worker_listen(struct worker *worker, struct server *server, uint16_t port, struct start_error *error);
bool worker_open_replies(struct worker *worker, bool own_ids, struct start_error *error);
bool worker_start(struct worker *worker, struct start_error *error);
void worker_join(struct worker *worker);
void worker_close(struct worker *worker);

/*
 * Look at the clocks after something was stamped and before the stamp is used. False: CLOCK_REALTIME was
 * stepped since the last look, so that no software stamp taken between the two can be placed.
 */
bool worker_note_time(struct worker *worker);

/* Fetch transmit stamps and send what waits for them; "all": software stamps are there as soon as a Sync is
 * sent. */
void worker_collect_stamps(struct worker *worker, struct reply_pair *pair);
void worker_collect_all_stamps(struct worker *worker);
void worker_expire_awaited(struct worker *worker);

/* Take one batch from a listener: check, count, hand on to `arrived`. */
void worker_serve_listener(struct worker *worker, struct listener *listener);

/* May we answer now? COUNTERS when yes, else the counter to blame. */
enum counter worker_obstacle(const struct worker *worker);

/* A stamp as TAI, and as a reading of the map's source clock. COUNTERS when done, else the counter to blame.
 */
enum counter worker_tai(const struct worker *worker, struct stamps stamps, int64_t *source_ns,
                        int64_t *tai_ns);

/* TAI about now, for origin fields that may be estimates; 0 when unknown. */
int64_t worker_now_tai_ns(const struct worker *worker);

/*
 * Send a Sync of `size` bytes from the pair's event socket to `to`; when its stamp comes, the second message
 * described by `awaited` follows by itself.
 */
void worker_send_sync(struct worker *worker, struct reply_pair *pair, const struct endpoint *to,
                      uint8_t *data, size_t size, const struct awaited *awaited);

/* Send from the pair's general socket and count it under `which`. */
bool worker_send_general(struct worker *worker, const struct reply_pair *pair, const struct endpoint *to,
                         uint8_t *data, size_t size, enum counter which);

/* The two kinds of worker. */
void event_worker_init(struct worker *worker);
void general_worker_init(struct worker *worker);

#endif
