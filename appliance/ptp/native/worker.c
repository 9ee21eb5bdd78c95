#define _GNU_SOURCE
#include "worker.h"

#include <string.h>
#include <sys/socket.h>

enum {
    DISTRUST_NS = 250000000, /* how long stamps from before a step may lie in a queue that never empties */
    MAP_JUMP_NS = 1000,      /* between T4 and T1 of one exchange, beyond the map's own error */
};

/* ---- time ---- */

static void abandon_awaited(struct worker *worker, enum counter why)
{
    for (int family = 0; family < FAMILIES; family++) {
        for (uint32_t i = 0; worker->replies.pair[family] != NULL && i < worker->replies.pairs; i++) {
            count_add(&worker->counters, why, pair_forget(&worker->replies.pair[family][i]));
        }
    }
}

bool worker_note_time(struct worker *worker)
{
    struct host_reading reading = host_clock_take_reading();
    bool steady = host_clock_add(&worker->host, reading);

    worker->now_raw_ns = reading.raw_ns;
    clock_page_read(worker->server->page, &worker->clock, &worker->clock_generation);
    if (steady || worker->replies.options.hardware_stamps) {
        return true;
    }
    count(&worker->counters, COUNT_HOST_CLOCK_STEPS);
    abandon_awaited(worker, COUNT_DROPPED_STEP);
    for (uint32_t i = 0; i < worker->listeners; i++) {
        worker->listener[i].distrusted = true;
    }
    worker->distrust_until_raw_ns = reading.raw_ns + DISTRUST_NS;
    return false;
}

/* The map our stamps need. */
static const struct clock_map *stamp_map(const struct worker *worker)
{
    return worker->replies.options.hardware_stamps ? &worker->clock.phc : &worker->clock.host;
}

static bool map_holds(const struct worker *worker)
{
    const struct clock_map *map = stamp_map(worker);

    return clock_map_holds(map, worker->now_raw_ns) &&
           (map == &worker->clock.host || map->phc_index == worker->server->phc_index);
}

enum counter worker_obstacle(const struct worker *worker)
{
    if (!worker->clock.serving) {
        return COUNT_DROPPED_NOT_SERVING;
    }
    return worker->clock.announce.valid && map_holds(worker) ? COUNTERS : COUNT_DROPPED_NO_TIME;
}

enum counter worker_tai(const struct worker *worker, struct stamps stamps, int64_t *source_ns,
                        int64_t *tai_ns)
{
    bool hardware = worker->replies.options.hardware_stamps;

    *source_ns = stamps.hardware_ns;
    if ((hardware ? stamps.hardware_ns : stamps.software_ns) == 0) {
        return COUNT_DROPPED_NO_STAMP;
    }
    if (!hardware && !host_clock_translate(&worker->host, stamps.software_ns, source_ns)) {
        return COUNT_DROPPED_STALE;
    }
    if (!map_holds(worker)) {
        return COUNT_DROPPED_NO_TIME;
    }
    *tai_ns = clock_map_tai_ns(stamp_map(worker), *source_ns);
    return *tai_ns > 0 ? COUNTERS : COUNT_DROPPED_NO_TIME;
}

int64_t worker_now_tai_ns(const struct worker *worker)
{
    int64_t now_raw_ns = host_raw_ns();
    int64_t now_tai_ns = clock_map_tai_ns(&worker->clock.host, now_raw_ns);

    return clock_map_holds(&worker->clock.host, now_raw_ns) && now_tai_ns > 0 ? now_tai_ns : 0;
}

/* ---- replies ---- */

bool worker_send_general(struct worker *worker, const struct reply_pair *pair, const struct endpoint *to,
                         uint8_t *data, size_t size, enum counter which)
{
    bool sent = socket_send(pair->general_fd, to, data, size, NULL) == 0;

    count(&worker->counters, sent ? which : COUNT_TX_ERROR);
    return sent;
}

/*
 * T4 was told in the Sync; T1 must come from the same clock, or the client computes with two different ones.
 * An ordinary renewal moves the map by no more than its stated error.
 */
static bool map_jumped(const struct worker *worker, const struct awaited *awaited)
{
    const struct clock_map *map = stamp_map(worker);
    int64_t moved_ns = clock_map_tai_ns(map, awaited->receive_source_ns) - awaited->receive_tai_ns;
    int64_t allowed_ns = MAP_JUMP_NS + map->error_ns;

    return awaited->epoch != worker->clock.announce.epoch || moved_ns > allowed_ns || moved_ns < -allowed_ns;
}

/* The transmit stamp of a Sync is here: send what it was needed for. */
static void send_second_message(struct worker *worker, const struct reply_pair *pair,
                                const struct awaited *awaited, struct stamps stamps)
{
    uint8_t reply[PTP_REPLY_MAX];
    int64_t source_ns;
    int64_t tai_ns;
    size_t size;
    enum counter obstacle = worker_tai(worker, stamps, &source_ns, &tai_ns);

    if (obstacle == COUNTERS) {
        obstacle = worker_obstacle(worker);
    }
    if (obstacle == COUNTERS && awaited->kind == AWAITED_SPTP && map_jumped(worker, awaited)) {
        obstacle = COUNT_DROPPED_STEP;
    }
    if (obstacle != COUNTERS) {
        count(&worker->counters, obstacle == COUNT_DROPPED_NO_STAMP ? COUNT_TXTS_MISSING : obstacle);
        return;
    }
    if (awaited->kind == AWAITED_SPTP) {
        size = ptp_build_announce(reply, &worker->self, &worker->clock.announce, awaited->sequence, tai_ns,
                                  awaited->correction_2p16, awaited->log_interval);
        worker_send_general(worker, pair, &awaited->to, reply, size, COUNT_TX_ANNOUNCE);
    } else {
        size = ptp_build_follow_up(reply, &worker->self, awaited->sequence, tai_ns, awaited->log_interval);
        worker_send_general(worker, pair, &awaited->to, reply, size, COUNT_TX_FOLLOW_UP);
    }
}

void worker_collect_stamps(struct worker *worker, struct reply_pair *pair)
{
    struct stamp_report reports[STAMPS_AT_ONCE];
    int found;

    do {
        found = pair_read_stamps(pair, reports);
        if (found > 0) {
            worker_note_time(worker);
        }
        for (int i = 0; i < found; i++) {
            struct awaited *awaited = pair_find(pair, reports[i].id);

            if (awaited == NULL) {
                count(&worker->counters, COUNT_TXTS_UNMATCHED);
                continue;
            }
            send_second_message(worker, pair, awaited, reports[i].stamps);
            pair_done(pair, awaited);
        }
    } while (found == STAMPS_AT_ONCE);
}

void worker_collect_all_stamps(struct worker *worker)
{
    for (int family = 0; family < FAMILIES; family++) {
        for (uint32_t i = 0; worker->replies.pair[family] != NULL && i < worker->replies.pairs; i++) {
            if (pair_oldest(&worker->replies.pair[family][i]) != NULL) {
                worker_collect_stamps(worker, &worker->replies.pair[family][i]);
            }
        }
    }
}

void worker_expire_awaited(struct worker *worker)
{
    int64_t sent_before = worker->now_raw_ns - (int64_t)worker->server->config.stamp_wait_ms * 1000000;

    for (int family = 0; family < FAMILIES; family++) {
        for (uint32_t i = 0; worker->replies.pair[family] != NULL && i < worker->replies.pairs; i++) {
            struct reply_pair *pair = &worker->replies.pair[family][i];

            for (struct awaited *old; (old = pair_oldest(pair)) != NULL && old->sent_raw_ns < sent_before;) {
                count(&worker->counters, COUNT_TXTS_MISSING);
                pair_done(pair, old);
            }
        }
    }
}

void worker_send_sync(struct worker *worker, struct reply_pair *pair, const struct endpoint *to,
                      uint8_t *data, size_t size, const struct awaited *awaited)
{
    struct awaited *place = pair_next(pair);
    uint32_t id;

    if (place == NULL) {
        count(&worker->counters, COUNT_DROPPED_BUSY);
        return;
    }
    id = place->id;
    if (socket_send(pair->event_fd, to, data, size, worker->replies.own_ids ? &id : NULL) == 0) {
        *place = *awaited;
        place->id = id;
        place->sent_raw_ns = worker->now_raw_ns;
        pair_sent(pair);
        count(&worker->counters, COUNT_TX_SYNC);
        return;
    }
    count(&worker->counters, COUNT_TX_ERROR);
    if (!worker->replies.own_ids) {
        /* Whether a failed send used up a number depends on where it failed: fetch what is there, start anew.
         */
        worker_collect_stamps(worker, pair);
        count_add(&worker->counters, COUNT_TXTS_MISSING, pair_forget(pair));
        socket_restart_stamp_ids(pair->event_fd, &worker->replies.options);
        pair->first_id = 0;
        pair->next_id = 0;
    }
}
