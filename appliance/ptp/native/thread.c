#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "worker.h"

/* What an epoll event is about. */
enum source { SOURCE_STOP, SOURCE_TIMER, SOURCE_LISTENER, SOURCE_PAIR };

static uint64_t source_tag(enum source source, uint32_t family, uint32_t index)
{
    return (uint64_t)source << 40 | (uint64_t)family << 32 | index;
}

static bool watch(struct worker *worker, int fd, uint32_t events, uint64_t tag)
{
    struct epoll_event event = {.events = events, .data.u64 = tag};

    return epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void tick(struct worker *worker, bool idle)
{
    worker_note_time(worker);
    if (idle) { /* nothing is queued anywhere, so nothing stamped before a step is left */
        for (uint32_t i = 0; i < worker->listeners; i++) {
            worker->listener[i].distrusted = false;
        }
    }
    worker_expire_awaited(worker);
    worker->ticked_raw_ns = worker->now_raw_ns;
    atomic_store_explicit(&worker->heartbeat_raw_ns, worker->now_raw_ns, memory_order_relaxed);
}

static void dispatch(struct worker *worker, uint64_t tag)
{
    uint32_t family = (uint32_t)(tag >> 32) & 0xFF;
    uint32_t index = (uint32_t)tag;
    uint64_t expirations;
    int cleared;
    socklen_t length = sizeof(cleared);

    switch ((enum source)(tag >> 40)) {
    case SOURCE_LISTENER:
        worker_serve_listener(worker, &worker->listener[index]);
        break;
    case SOURCE_PAIR:
        worker_collect_stamps(worker, &worker->replies.pair[family][index]);
        /* a pending socket error would wake us for ever */
        getsockopt(worker->replies.pair[family][index].event_fd, SOL_SOCKET, SO_ERROR, &cleared, &length);
        break;
    case SOURCE_TIMER:
        if (read(worker->timer_fd, &expirations, sizeof(expirations)) < 0) {
            break; /* taken back meanwhile */
        }
        break;
    case SOURCE_STOP:
        break;
    }
}

static void *run(void *argument)
{
    struct worker *worker = argument;
    struct epoll_event events[BATCH];

    while (!atomic_load_explicit(&worker->server->stop, memory_order_relaxed)) {
        int ready = epoll_wait(worker->epoll_fd, events, BATCH, TICK_MS);

        if (ready < 0 && errno != EINTR) {
            break;
        }
        for (int i = 0; i < ready; i++) {
            dispatch(worker, events[i].data.u64);
        }
        if (ready == 0 || host_raw_ns() - worker->ticked_raw_ns >= TICK_MS * 1000000LL) {
            tick(worker, ready == 0);
        }
        if (worker->after != NULL) {
            worker->after(worker);
            worker_collect_all_stamps(worker);
        }
    }
    if (worker->leave != NULL) {
        worker->leave(worker);
    }
    atomic_store_explicit(&worker->alive, false, memory_order_relaxed);
    return NULL;
}

static bool fail(struct start_error *error, const char *what)
{
    error->code = errno;
    snprintf(error->text, sizeof(error->text), "cannot %s: %s", what, strerror(errno));
    return false;
}

bool worker_listen(struct worker *worker, struct server *server, uint16_t port, struct start_error *error)
{
    const struct server_config *config = &server->config;
    uint64_t seed = 0;

    worker->server = server;
    worker->self = config->self;
    worker->clock_generation = UINT64_MAX;
    memset(&worker->host, 0, sizeof(worker->host));
    memset(&worker->clock, 0, sizeof(worker->clock));
    worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    worker->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    worker->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed) || worker->epoll_fd < 0 || worker->stop_fd < 0 ||
        worker->timer_fd < 0 || !watch(worker, worker->stop_fd, EPOLLIN, source_tag(SOURCE_STOP, 0, 0)) ||
        !watch(worker, worker->timer_fd, EPOLLIN, source_tag(SOURCE_TIMER, 0, 0))) {
        return fail(error, "set up a worker thread");
    }
    limiter_init(&worker->limiter, seed, config->prefix_per_s, config->prefix_burst, config->total_per_s,
                 config->total_burst);
    for (uint32_t i = 0; i < config->addresses; i++) {
        int fd = socket_listen(&config->address[i], port, worker->wants_stamps, &config->sockets, error);

        if (fd < 0) {
            return false;
        }
        worker->listener[worker->listeners++] = (struct listener){.fd = fd};
        if (!watch(worker, fd, EPOLLIN, source_tag(SOURCE_LISTENER, 0, i))) {
            return fail(error, "watch a listener");
        }
    }
    return true;
}

bool worker_open_replies(struct worker *worker, bool own_ids, struct start_error *error)
{
    const struct server_config *config = &worker->server->config;
    bool families[FAMILIES] = {false};

    for (uint32_t i = 0; i < config->addresses; i++) {
        families[config->address[i].any.sa_family == AF_INET6 ? FAMILY_V6 : FAMILY_V4] = true;
    }
    if (!replies_open(&worker->replies, families, config->reply_pairs, own_ids, &config->sockets, error)) {
        return false;
    }
    for (uint32_t family = 0; family < FAMILIES; family++) {
        for (uint32_t i = 0; families[family] && i < config->reply_pairs; i++) {
            /* no EPOLLIN: errors, which is where transmit stamps come, are always reported */
            if (!watch(worker, worker->replies.pair[family][i].event_fd, 0,
                       source_tag(SOURCE_PAIR, family, i))) {
                return fail(error, "watch a reply socket");
            }
        }
    }
    worker_note_time(worker);
    atomic_store(&worker->heartbeat_raw_ns, worker->now_raw_ns);
    return true;
}

bool worker_start(struct worker *worker, struct start_error *error)
{
    int code;

    atomic_store(&worker->alive, true);
    code = pthread_create(&worker->thread, NULL, run, worker);
    if (code != 0) {
        errno = code;
        return fail(error, "start a worker thread");
    }
    worker->started = true;
    return true;
}

void worker_join(struct worker *worker)
{
    uint64_t one = 1;

    if (!worker->started) {
        return;
    }
    if (write(worker->stop_fd, &one, sizeof(one)) < 0) {
        /* the worker looks at the stop flag every tick anyway */
    }
    pthread_join(worker->thread, NULL);
    worker->started = false;
}

void worker_close(struct worker *worker)
{
    replies_close(&worker->replies);
    while (worker->listeners > 0) {
        close(worker->listener[--worker->listeners].fd);
    }
    for (int *fds[] = {&worker->epoll_fd, &worker->stop_fd, &worker->timer_fd, NULL}, **fd = fds; *fd; fd++) {
        if (**fd >= 0) {
            close(**fd);
        }
        **fd = -1;
    }
}
