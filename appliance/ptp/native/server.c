#define _GNU_SOURCE
#include "server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "hwstamp.h"
#include "worker.h"

struct server *server_new(const struct server_config *config, const struct clock_page *page)
{
    struct server *server = calloc(1, sizeof(*server));

    if (server == NULL) {
        return NULL;
    }
    server->config = *config;
    server->page = page;
    server->phc_index = -1;
    pthread_mutex_init(&server->contracts_lock, NULL);
    pthread_mutex_init(&server->lifecycle_lock, NULL);
    return server;
}

void server_free(struct server *server)
{
    if (server != NULL) {
        server_stop(server);
        pthread_mutex_destroy(&server->contracts_lock);
        pthread_mutex_destroy(&server->lifecycle_lock);
        free(server);
    }
}

/* Hardware stamps when the interface has them and nobody forbids it. */
static bool choose_stamps(struct server *server, struct start_error *error)
{
    struct server_config *config = &server->config;
    int phc_index = -1;
    int code;

    config->sockets.hardware_stamps = false;
    server->phc_index = -1;
    if (config->stamp_mode == STAMPS_SOFTWARE || config->stamp_interface[0] == '\0') {
        return true;
    }
    code = hwstamp_enable(config->stamp_interface, &phc_index);
    if (code == 0) {
        config->sockets.hardware_stamps = true;
        server->phc_index = phc_index;
        return true;
    }
    if (config->stamp_mode == STAMPS_AUTO && code == -EOPNOTSUPP) {
        return true;
    }
    error->code = -code;
    snprintf(error->text, sizeof(error->text), "cannot use hardware time stamps of interface %s: %s",
             config->stamp_interface, strerror(-code));
    return false;
}

static bool find_interfaces(struct server *server, struct start_error *error)
{
    for (uint32_t i = 0; i < server->config.interfaces; i++) {
        server->interface_index[i] = if_nametoindex(server->config.interface[i]);
        if (server->interface_index[i] == 0) {
            error->code = errno;
            snprintf(error->text, sizeof(error->text), "cannot serve on interface %s: %s",
                     server->config.interface[i], strerror(errno));
            return false;
        }
    }
    return true;
}

static void close_all(struct server *server)
{
    worker_close(&server->event);
    worker_close(&server->general);
    pthread_mutex_lock(&server->contracts_lock); /* somebody may be looking */
    contracts_free(&server->contracts);
    pthread_mutex_unlock(&server->contracts_lock);
}

static bool open_all(struct server *server, struct start_error *error)
{
    bool own_ids = !server->config.kernel_stamp_ids && socket_takes_stamp_ids();
    uint64_t seed = 0;

    if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed) ||
        !contracts_init(&server->contracts, &server->config.limits, seed)) {
        *error = (struct start_error){ENOMEM, "no memory for the contracts"};
        return false;
    }
    if (!worker_listen(&server->event, server, server->config.event_port, error) ||
        !worker_listen(&server->general, server, server->config.general_port, error) ||
        !worker_open_replies(&server->event, own_ids, error) ||
        !worker_open_replies(&server->general, own_ids, error)) {
        return false;
    }
    if (!server->config.sockets.hardware_stamps) {
        socket_await_stamps();
    }
    return true;
}

/* Signals are the main thread's business. */
static bool start_threads(struct server *server, struct start_error *error)
{
    sigset_t all;
    sigset_t before;
    bool started;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    started = worker_start(&server->event, error) && worker_start(&server->general, error);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

static void stop_started(struct server *server)
{
    atomic_store(&server->stop, true);
    worker_join(&server->event);
    worker_join(&server->general);
    close_all(server);
    server->running = false;
}

static bool start_stopped(struct server *server, struct start_error *error)
{
    if (server->running) {
        *error = (struct start_error){EALREADY, "the server runs already"};
        return false;
    }
    atomic_store(&server->stop, false);
    server->event.epoll_fd = server->event.stop_fd = server->event.timer_fd = -1;
    server->general.epoll_fd = server->general.stop_fd = server->general.timer_fd = -1;
    event_worker_init(&server->event);
    general_worker_init(&server->general);
    server->running = true;
    if (!find_interfaces(server, error) || !choose_stamps(server, error) || !open_all(server, error) ||
        !start_threads(server, error)) {
        stop_started(server);
        return false;
    }
    return true;
}

bool server_start(struct server *server, struct start_error *error)
{
    bool started;

    pthread_mutex_lock(&server->lifecycle_lock);
    started = start_stopped(server, error);
    pthread_mutex_unlock(&server->lifecycle_lock);
    return started;
}

void server_stop(struct server *server)
{
    pthread_mutex_lock(&server->lifecycle_lock);
    if (server->running) {
        stop_started(server);
    }
    pthread_mutex_unlock(&server->lifecycle_lock);
}

bool server_running(const struct server *server)
{
    return server->running && atomic_load_explicit(&server->event.alive, memory_order_relaxed) &&
           atomic_load_explicit(&server->general.alive, memory_order_relaxed);
}

bool server_hardware_stamps(const struct server *server)
{
    return server->config.sockets.hardware_stamps;
}

int server_phc_index(const struct server *server)
{
    return server->phc_index;
}

int64_t server_heartbeat_raw_ns(const struct server *server)
{
    int64_t event = atomic_load_explicit(&server->event.heartbeat_raw_ns, memory_order_relaxed);
    int64_t general = atomic_load_explicit(&server->general.heartbeat_raw_ns, memory_order_relaxed);

    return event < general ? event : general;
}

void server_counters(const struct server *server, uint64_t totals[COUNTERS])
{
    for (size_t i = 0; i < COUNTERS; i++) {
        totals[i] = atomic_load_explicit(&server->event.counters.value[i], memory_order_relaxed) +
                    atomic_load_explicit(&server->general.counters.value[i], memory_order_relaxed);
    }
}

struct contract *server_contracts(struct server *server, uint32_t *found)
{
    struct contract *copy;

    pthread_mutex_lock(&server->contracts_lock);
    *found = server->contracts.count;
    copy = malloc((*found + 1) * sizeof(*copy));
    for (uint32_t i = 0; copy != NULL && i < *found; i++) {
        copy[i] = server->contracts.slot[server->contracts.heap[i]];
    }
    pthread_mutex_unlock(&server->contracts_lock);
    return copy;
}
