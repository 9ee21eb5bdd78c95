/*
 * The PTP server: two native threads that answer packets from the clock page, without Python.
 *
 *   event thread    event port (319): SPTP exchanges, Delay_Resp for those with a contract
 *   general thread  general port (320): Signaling, and the Announce and Sync flows that were granted
 *
 * Each thread has its own reply sockets, so that a flood on one port does not disturb the other's flows.
 */
#ifndef PTP_SERVER_H
#define PTP_SERVER_H

#include <net/if.h>
#include <pthread.h>

#include "clock_page.h"
#include "contracts.h"
#include "counters.h"
#include "endpoint.h"
#include "sockets.h"
#include "wire.h"

enum { SERVER_ADDRESSES_MAX = 64, SERVER_PAIRS_MIN = 16, SERVER_PAIRS_MAX = 64 };
enum stamp_mode { STAMPS_AUTO, STAMPS_SOFTWARE, STAMPS_HARDWARE };

struct server_config {
    struct ptp_self self;
    union socket_address address[SERVER_ADDRESSES_MAX]; /* port ignored */
    uint32_t addresses;
    uint16_t event_port;
    uint16_t general_port;
    char interface[SERVER_ADDRESSES_MAX][IF_NAMESIZE]; /* serve only what arrives on these; none: on all */
    uint32_t interfaces;
    char stamp_interface[IF_NAMESIZE]; /* whose hardware stamps to use; "" for none */
    enum stamp_mode stamp_mode;
    uint32_t reply_pairs; /* per family and thread */
    uint32_t stamp_wait_ms;
    bool delay_resp_without_contract;
    bool kernel_stamp_ids; /* never number transmit stamps ourselves: what kernels before 6.13 do */
    struct contract_limits limits;
    uint32_t prefix_per_s;
    uint32_t prefix_burst;
    uint32_t total_per_s;
    uint32_t total_burst;
    struct socket_options sockets; /* hardware_stamps is found out at start */
};

struct server;

/* Copies the configuration; the page must outlive the server. NULL when memory is short. */
struct server *server_new(const struct server_config *config, const struct clock_page *page);

/* Open everything and start the threads. False with `error`; then nothing is left open. */
bool server_start(struct server *server, struct start_error *error);

/* Cancel the contracts, end the threads, close the sockets. Takes milliseconds. Harmless when not running. */
void server_stop(struct server *server);
void server_free(struct server *server);

bool server_running(const struct server *server);
bool server_hardware_stamps(const struct server *server);
int server_phc_index(const struct server *server); /* -1: software stamps */

/* The older of the two threads' last signs of life, CLOCK_MONOTONIC_RAW; they give one every 20 ms. */
int64_t server_heartbeat_raw_ns(const struct server *server);

/* Counter totals since server_new(). */
void server_counters(const struct server *server, uint64_t totals[COUNTERS]);

/* A copy of the contracts, to be freed by the caller; NULL when memory is short. */
struct contract *server_contracts(struct server *server, uint32_t *found);

#endif
