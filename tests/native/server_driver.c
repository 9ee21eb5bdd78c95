/*
 * The whole server without Python, for the sanitizers. Hex datagrams on standard input are the seeds.
 *
 *   server_driver EVENT_PORT GENERAL_PORT SCENARIO [ROUNDS]
 *
 * Scenarios: fuzz (random and mutated datagrams, while the page is rewritten), late (the server is slow
 * before and after each system call), jump (the page changes amid an exchange), step (CLOCK_REALTIME is
 * stepped), stamps (transmit stamps are lost, then late), failed-send (sends fail while the kernel numbers
 * the stamps), hardware (an interface that stamps with a PHC of its own, played on the kernel's software
 * stamps). Clocks and system calls are bent by the linker's --wrap; nothing of the host is changed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <linux/ethtool.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "host_clock.h"
#include "server.h"

#define IDENTITY 0x020000FFFE000001ULL
#define NS_PER_S 1000000000LL

static struct clock_page page;
static struct server *server;
static uint16_t event_port, general_port;

/* ---- what is bent ---- */

static _Atomic int64_t real_shift_ns;
static _Atomic bool hide_stamps;
static _Atomic unsigned dawdle_us; /* after receiving, before sending */
static _Atomic int failing_sends;  /* fail after the kernel has sent, and used up a number */

int __real_clock_gettime(clockid_t id, struct timespec *now);
int __real_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
int __real_ioctl(int fd, unsigned long request, void *argument);
int __real_setsockopt(int fd, int level, int name, const void *value, socklen_t size);

int __wrap_clock_gettime(clockid_t id, struct timespec *now)
{
    int result = __real_clock_gettime(id, now);

    if (id == CLOCK_REALTIME) {
        int64_t shifted = now->tv_sec * NS_PER_S + now->tv_nsec + atomic_load(&real_shift_ns);

        *now = (struct timespec){shifted / NS_PER_S, shifted % NS_PER_S};
    }
    return result;
}

/* The NIC that is played: PHC 3, whose time is PHC_BEHIND_NS behind CLOCK_REALTIME; stamps PTP event packets.
 */
#define PHC_BEHIND_NS 1700000000000000000LL
enum { PHC_INDEX = 3 };
static _Atomic bool nic_stamps;
static int nic_filter, nic_sets;

static void stamp_like_a_nic(struct msghdr *header)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPING) {
            struct scm_timestamping stamps;
            int64_t phc_ns;

            memcpy(&stamps, CMSG_DATA(c), sizeof(stamps));
            phc_ns = stamps.ts[0].tv_sec * NS_PER_S + stamps.ts[0].tv_nsec - PHC_BEHIND_NS;
            stamps.ts[0] = (struct timespec){0, 0};
            stamps.ts[2] = (struct timespec){phc_ns / NS_PER_S, phc_ns % NS_PER_S};
            memcpy(CMSG_DATA(c), &stamps, sizeof(stamps));
        }
    }
}

int __wrap_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout)
{
    int received;

    if (flags & MSG_ERRQUEUE && atomic_load(&hide_stamps)) {
        errno = EAGAIN;
        return -1;
    }
    received = __real_recvmmsg(fd, messages, count, flags, timeout);
    if (received > 0 && atomic_load(&dawdle_us) > 0) {
        usleep(atomic_load(&dawdle_us));
    }
    for (int i = 0; i < received && atomic_load(&nic_stamps); i++) {
        stamp_like_a_nic(&messages[i].msg_hdr);
    }
    return received;
}

/* Hardware stamps asked of a socket become the software stamps that loopback has. */
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    int flags = 0;

    if (level == SOL_SOCKET && name == SO_TIMESTAMPING) {
        memcpy(&flags, value, sizeof(flags));
    }
    if (flags & SOF_TIMESTAMPING_RAW_HARDWARE) {
        CHECK(!(flags & SOF_TIMESTAMPING_SOFTWARE));
        flags |= SOF_TIMESTAMPING_SOFTWARE;
        flags |= flags & SOF_TIMESTAMPING_RX_HARDWARE ? SOF_TIMESTAMPING_RX_SOFTWARE : 0;
        flags |= flags & SOF_TIMESTAMPING_TX_HARDWARE ? SOF_TIMESTAMPING_TX_SOFTWARE : 0;
        flags &=
            ~(SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_TX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE);
        return __real_setsockopt(fd, level, name, &flags, sizeof(flags));
    }
    return __real_setsockopt(fd, level, name, value, size);
}

/* Offers two filters, and refuses the narrow one when it is asked for. */
int __wrap_ioctl(int fd, unsigned long request, ...)
{
    struct hwtstamp_config config;
    struct ethtool_ts_info *info;
    struct ifreq *ifr;
    va_list arguments;

    va_start(arguments, request);
    ifr = va_arg(arguments, struct ifreq *);
    va_end(arguments);
    if (!atomic_load(&nic_stamps)) {
        return __real_ioctl(fd, request, ifr);
    }
    CHECK(strcmp(ifr->ifr_name, "nic0") == 0);
    if (request == SIOCETHTOOL) {
        info = (struct ethtool_ts_info *)ifr->ifr_data;
        CHECK(info->cmd == ETHTOOL_GET_TS_INFO);
        info->so_timestamping = 0x7F;
        info->phc_index = PHC_INDEX;
        info->tx_types = 1U << HWTSTAMP_TX_OFF | 1U << HWTSTAMP_TX_ON;
        info->rx_filters = 1U << HWTSTAMP_FILTER_PTP_V2_L4_EVENT | 1U << HWTSTAMP_FILTER_PTP_V2_EVENT;
        return 0;
    }
    memcpy(&config, ifr->ifr_data, sizeof(config));
    if (request == SIOCSHWTSTAMP) {
        nic_sets++;
        if (config.rx_filter == HWTSTAMP_FILTER_PTP_V2_L4_EVENT) {
            errno = ERANGE;
            return -1;
        }
        nic_filter = config.rx_filter;
    } else {
        CHECK(request == SIOCGHWTSTAMP);
        config = (struct hwtstamp_config){.tx_type = nic_filter ? HWTSTAMP_TX_ON : HWTSTAMP_TX_OFF,
                                          .rx_filter = nic_filter};
    }
    memcpy(ifr->ifr_data, &config, sizeof(config));
    return 0;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    bool fails = atomic_load(&failing_sends) > 0;
    ssize_t result;

    atomic_fetch_sub(&failing_sends, fails);
    if (atomic_load(&dawdle_us) > 0) {
        usleep(atomic_load(&dawdle_us));
    }
    result = __real_sendmsg(fd, message, flags);
    if (fails) {
        errno = ENOBUFS;
        return -1;
    }
    return result;
}

/* ---- page, server, client ---- */

static int published_phc = -1;
static uint32_t published_epoch;

/* The host's time plus an offset; always from the same two readings, so that nothing else moves the map. */
static void publish(int64_t offset_ns, bool serving)
{
    static int64_t raw_ns, real_ns;
    struct clock_data data = {.serving = serving};

    if (real_ns == 0) {
        struct host_reading now = host_clock_take_reading();

        raw_ns = now.raw_ns;
        real_ns = now.real_ns;
    }
    data.host = (struct clock_map){
        .anchor_ns = raw_ns,
        .anchor_tai_ns = real_ns + offset_ns,
        .valid_until_raw_ns = raw_ns + 100 * NS_PER_S,
        .valid = published_phc < 0, /* with a PHC map the other one is not needed */
    };
    data.phc = data.host;
    data.phc.anchor_ns = real_ns - PHC_BEHIND_NS;
    data.phc.valid = published_phc >= 0;
    data.phc.phc_index = published_phc;
    data.announce = (struct clock_announce){.grandmaster_identity = IDENTITY,
                                            .epoch = published_epoch,
                                            .clock_class = 6,
                                            .clock_accuracy = 0x25,
                                            .flags = 8,
                                            .valid = 1};
    clock_page_write(&page, &data);
}

static void start_server(bool kernel_stamp_ids, const char *stamp_interface)
{
    struct start_error error;
    struct server_config config = {
        .self = {.identity = IDENTITY, .minor_version = 1},
        .addresses = 2,
        .event_port = event_port,
        .general_port = general_port,
        .reply_pairs = 16,
        .stamp_wait_ms = 60,
        .kernel_stamp_ids = kernel_stamp_ids,
        .limits = {-7, 4, 3600, 64, 16, 0, 0},
        .sockets = {.receive_buffer_bytes = 1 << 20, .dscp = 46},
    };

    config.address[0].v4.sin_family = AF_INET;
    config.address[0].v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    config.address[1].v6.sin6_family = AF_INET6;
    config.address[1].v6.sin6_addr = in6addr_loopback;
    strcpy(config.stamp_interface, stamp_interface);
    server = server_new(&config, &page);
    CHECK(server != NULL);
    if (!server_start(server, &error)) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    CHECK(!server_start(server, &error) && error.code == EALREADY);
}

static int client_socket(int family)
{
    int fd = socket(family, SOCK_DGRAM, 0);
    union socket_address own = {.any.sa_family = (sa_family_t)family};

    if (family == AF_INET6) {
        own.v6.sin6_addr = in6addr_loopback;
    } else {
        own.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
    CHECK(fd >= 0 && bind(fd, &own.any, family == AF_INET6 ? sizeof(own.v6) : sizeof(own.v4)) == 0);
    return fd;
}

static void send_to(int fd, int family, uint16_t port, const uint8_t *data, size_t size)
{
    union socket_address to = {.any.sa_family = (sa_family_t)family};

    if (family == AF_INET6) {
        to.v6.sin6_addr = in6addr_loopback;
        to.v6.sin6_port = htons(port);
    } else {
        to.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        to.v4.sin_port = htons(port);
    }
    sendto(fd, data, size, 0, &to.any, family == AF_INET6 ? sizeof(to.v6) : sizeof(to.v4));
}

/* Receive one datagram; 0 when none comes in time. */
static size_t receive(int fd, uint8_t *data, size_t room, int wait_ms)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    ssize_t size;

    if (poll(&ready, 1, wait_ms) <= 0) {
        return 0;
    }
    size = recv(fd, data, room, 0);
    return size > 0 ? (size_t)size : 0;
}

static const uint8_t sptp_request[] = {0x01,        0x12, 0,    44,   0,           0,    0x24,    0x00,
                                       [20] = 0x0C, 0x42, 0xA1, 0xFF, [28] = 0x10, 0x92, [43] = 0};

static int64_t last_t4_ns, last_t1_ns; /* of the newest exchange, as told by the server */

static int64_t timestamp_ns(const uint8_t *message)
{
    uint64_t seconds = 0;
    uint64_t nanoseconds = 0;

    for (int i = 34; i < 40; i++) {
        seconds = seconds << 8 | message[i];
    }
    for (int i = 40; i < 44; i++) {
        nanoseconds = nanoseconds << 8 | message[i];
    }
    return (int64_t)(seconds * NS_PER_S + nanoseconds);
}

static int64_t real_now_ns(void)
{
    struct timespec real;

    __real_clock_gettime(CLOCK_REALTIME, &real);
    return real.tv_sec * NS_PER_S + real.tv_nsec;
}

/* Ask once; how many of the two answers came. */
static int exchange(int fd, int family, uint16_t sequence, int wait_ms)
{
    uint8_t request[sizeof(sptp_request)];
    uint8_t reply[256];
    int got = 0;
    size_t size;

    memcpy(request, sptp_request, sizeof(request));
    request[30] = (uint8_t)(sequence >> 8);
    request[31] = (uint8_t)sequence;
    send_to(fd, family, event_port, request, sizeof(request));
    while (got < 2 && (size = receive(fd, reply, sizeof(reply), wait_ms)) > 0) {
        CHECK(size >= 44);
        if (reply[30] == request[30] && reply[31] == request[31]) { /* others answer earlier datagrams */
            CHECK((reply[0] & 15) == (got == 0 ? PTP_SYNC : PTP_ANNOUNCE));
            *(got == 0 ? &last_t4_ns : &last_t1_ns) = timestamp_ns(reply);
            got++;
        }
    }
    return got;
}

static uint64_t counter(const char *name)
{
    uint64_t totals[COUNTERS];

    server_counters(server, totals);
    for (size_t i = 0; i < COUNTERS; i++) {
        if (strcmp(counter_names[i], name) == 0) {
            return totals[i];
        }
    }
    CHECK(!"known counter");
    return 0;
}

/* ---- scenarios ---- */

enum { SEEDS_MAX = 256, DATAGRAM_MAX = 1500 };
static uint8_t seed[SEEDS_MAX][DATAGRAM_MAX];
static size_t seed_size[SEEDS_MAX];
static uint32_t seeds;
static uint64_t random_state = 88172645463325252ULL;

static uint32_t random_below(uint32_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % limit;
}

static void read_seeds(void)
{
    static char line[2 * DATAGRAM_MAX + 2];

    while (seeds < SEEDS_MAX && fgets(line, sizeof(line), stdin) != NULL) {
        size_t digits = strcspn(line, "\n");

        for (size_t i = 0; i + 1 < digits; i += 2) {
            unsigned byte;

            CHECK(sscanf(line + i, "%2x", &byte) == 1);
            seed[seeds][i / 2] = (uint8_t)byte;
        }
        seed_size[seeds++] = digits / 2;
    }
    CHECK(seeds > 0);
}

static size_t mutate(uint8_t *data)
{
    uint32_t which = random_below(seeds);
    size_t size = seed_size[which];

    if (random_below(16) == 0) { /* no relation to PTP at all */
        size = random_below(DATAGRAM_MAX);
        for (size_t i = 0; i < size; i++) {
            data[i] = (uint8_t)random_below(256);
        }
        return size;
    }
    memcpy(data, seed[which], size);
    for (uint32_t i = random_below(5); i > 0 && size > 0; i--) {
        switch (random_below(4)) {
        case 0:
            data[random_below((uint32_t)size)] = (uint8_t)random_below(256);
            break;
        case 1:
            data[random_below((uint32_t)size)] ^= (uint8_t)(1U << random_below(8));
            break;
        case 2: /* cut */
            size = random_below((uint32_t)size + 1);
            break;
        default: /* lengthen */
            while (size < DATAGRAM_MAX && random_below(8) != 0) {
                data[size++] = (uint8_t)random_below(256);
            }
        }
    }
    return size;
}

static _Atomic bool done;

/* Rewrites the page as fast as it can: maps come and go, serving is switched, the clock jumps. */
static void *disturb(void *unused)
{
    for (int64_t i = 0; !atomic_load(&done); i++) {
        uint32_t found;

        publish(i % 7 == 0 ? 1000000 : 0, i % 97 != 0);
        free(server_contracts(server, &found));
        usleep(200);
    }
    return unused;
}

static void fuzz(long rounds)
{
    static const int families[] = {AF_INET, AF_INET6};
    uint8_t data[DATAGRAM_MAX];
    int fd[2];
    pthread_t disturber;

    read_seeds();
    publish(0, true);
    start_server(false, "");
    CHECK(pthread_create(&disturber, NULL, disturb, NULL) == 0);
    for (int i = 0; i < 2; i++) {
        fd[i] = client_socket(families[i]);
    }
    for (long i = 0; i < rounds; i++) {
        size_t size = mutate(data);
        int which = (int)random_below(2);

        send_to(fd[which], families[which], random_below(2) ? event_port : general_port, data, size);
        while (receive(fd[which], data, sizeof(data), 0) > 0) {
        }
        if (i % 64 == 0) {
            usleep(1000); /* let it be answered rather than dropped by the kernel */
        }
    }
    atomic_store(&done, true);
    pthread_join(disturber, NULL);
    publish(0, true);
    usleep(100000);
    CHECK(server_running(server));
    for (int i = 0; i < 2; i++) { /* still well; new sockets, as the old ones may have been granted messages */
        CHECK(close(fd[i]) == 0);
        CHECK(exchange(client_socket(families[i]), families[i], (uint16_t)(1 + i), 2000) == 2);
    }
    CHECK(counter("dropped.tlv") > 0 && counter("dropped.length") > 0 && counter("tx.announce") > 0);
    CHECK(counter("signaling.granted") > 0);
}

static void step(void)
{
    int fd;
    bool dropped = false;

    publish(0, true);
    start_server(false, "");
    fd = client_socket(AF_INET);
    CHECK(exchange(fd, AF_INET, 1, 500) == 2);
    /* The idle server may notice a step before the request comes; then nothing needs to be dropped. */
    for (uint16_t i = 0; i < 20 && !dropped; i++) {
        usleep(50000);
        atomic_store(&real_shift_ns, i % 2 == 0 ? 3000000 : 0);
        exchange(fd, AF_INET, (uint16_t)(100 + i), 30);
        dropped = counter("dropped.step") > 0;
    }
    CHECK(dropped);
    CHECK(counter("host_clock.steps") > 0);
    atomic_store(&real_shift_ns, 0);
    usleep(100000);
    CHECK(exchange(fd, AF_INET, 2, 500) == 2); /* and answers again */
}

/* Counters move when the server gets to it. */
static void expect(const char *name, uint64_t at_least)
{
    for (int i = 0; i < 400 && counter(name) < at_least; i++) {
        usleep(5000);
    }
    CHECK(counter(name) >= at_least);
}

/* Send a request, and change what the page says while the server is between its T4 and its T1. */
static void change_amid(int fd, int64_t offset_ns)
{
    uint8_t reply[256];

    send_to(fd, AF_INET, event_port, sptp_request, sizeof(sptp_request));
    usleep(75000);
    publish(offset_ns, true);
    CHECK(receive(fd, reply, sizeof(reply), 500) == 44); /* the Sync, with T4 of the old clock */
}

/* Two timestamps of one exchange never come from two clocks. */
static void jump(void)
{
    int64_t offset_ns = 37 * NS_PER_S;
    uint8_t reply[256];
    int fd;

    publish(offset_ns, true);
    start_server(false, "");
    fd = client_socket(AF_INET);
    CHECK(exchange(fd, AF_INET, 1, 500) == 2);
    atomic_store(&dawdle_us, 50000);
    change_amid(fd, offset_ns += 20000); /* the map moves by 20 us */
    expect("dropped.step", 1);
    published_epoch++;
    change_amid(fd, offset_ns); /* only the epoch changes */
    expect("dropped.step", 2);
    change_amid(fd, offset_ns); /* an ordinary renewal */
    CHECK(receive(fd, reply, sizeof(reply), 500) == 64);
    expect("tx.announce", 2);
    CHECK(counter("dropped.step") == 2);
    atomic_store(&dawdle_us, 0);
}

/* However late the server is, its timestamps are those of the packets. */
static void late(void)
{
    static const bool kernel_stamp_ids[] = {false, true};
    const int64_t dawdle_ns = 5000000;

    for (int i = 0; i < 2; i++) {
        int fd;

        publish(37 * NS_PER_S, true);
        start_server(kernel_stamp_ids[i], "");
        fd = client_socket(AF_INET);
        atomic_store(&dawdle_us, dawdle_ns / 1000);
        for (uint16_t sequence = 0; sequence < 10; sequence++) {
            int64_t before_ns = real_now_ns() + 37 * NS_PER_S;
            int64_t after_ns;

            CHECK(exchange(fd, AF_INET, sequence, 500) == 2);
            after_ns = real_now_ns() + 37 * NS_PER_S;
            CHECK(last_t4_ns > before_ns - 1000 && last_t4_ns < before_ns + dawdle_ns);
            CHECK(last_t1_ns - last_t4_ns >= 2 * dawdle_ns - 1000);
            CHECK(after_ns - last_t1_ns >= 2 * dawdle_ns - 1000);
        }
        atomic_store(&dawdle_us, 0);
        close(fd);
        if (i == 0) {
            server_free(server);
        }
    }
}

static void stamps(void)
{
    int fd;

    publish(0, true);
    start_server(false, "");
    fd = client_socket(AF_INET);
    CHECK(exchange(fd, AF_INET, 1, 500) == 2);
    atomic_store(&hide_stamps, true);
    CHECK(exchange(fd, AF_INET, 2, 200) == 1); /* a Sync, and no Announce without T1 */
    expect("txts.missing", 1);
    CHECK(counter("tx.announce") == 1);
    atomic_store(&hide_stamps, false); /* now it comes, too late */
    CHECK(exchange(fd, AF_INET, 3, 500) == 2);
    CHECK(counter("txts.unmatched") == 1);
    /* more in flight than are remembered: refused, not queued */
    atomic_store(&hide_stamps, true);
    for (int i = 0; i < 400; i++) {
        send_to(fd, AF_INET, event_port, sptp_request, sizeof(sptp_request));
    }
    expect("dropped.busy", 1);
    atomic_store(&hide_stamps, false);
}

static void failed_send(void)
{
    int fd;

    publish(0, true);
    start_server(true, "");
    fd = client_socket(AF_INET);
    for (uint16_t i = 0; i < 20; i++) {
        CHECK(exchange(fd, AF_INET, (uint16_t)(2 * i), 500) == 2);
        atomic_store(&failing_sends, 1);
        CHECK(exchange(fd, AF_INET, (uint16_t)(2 * i + 1), 20) < 2);
    }
    CHECK(exchange(fd, AF_INET, 1000, 500) == 2); /* the numbers are in step again */
    CHECK(counter("tx.error") == 20);
}

static void hardware(void)
{
    int64_t late_ns;
    int fd;

    atomic_store(&nic_stamps, true);
    publish(0, true); /* only the host's map */
    start_server(false, "nic0");
    CHECK(server_hardware_stamps(server) && server_phc_index(server) == PHC_INDEX);
    CHECK(nic_sets == 2 && nic_filter == HWTSTAMP_FILTER_PTP_V2_EVENT); /* the narrowest that works */
    fd = client_socket(AF_INET);
    CHECK(exchange(fd, AF_INET, 1, 50) == 0);
    published_phc = PHC_INDEX + 1;
    publish(0, true);
    CHECK(exchange(fd, AF_INET, 2, 50) == 0); /* the map of another PHC */
    CHECK(counter("dropped.no_time") == 2);
    published_phc = PHC_INDEX;
    publish(250 * NS_PER_S, true);
    CHECK(exchange(fd, AF_INET, 3, 500) == 2);
    late_ns = real_now_ns() + 250 * NS_PER_S - last_t4_ns;
    CHECK(late_ns > 0 && late_ns < NS_PER_S);
    server_stop(server);
    CHECK(server_start(server, &(struct start_error){0}));
    CHECK(nic_sets == 2); /* stamping already: left as it is */
}

int main(int argc, char **argv)
{
    CHECK(argc >= 4);
    event_port = (uint16_t)atoi(argv[1]);
    general_port = (uint16_t)atoi(argv[2]);
    if (strcmp(argv[3], "fuzz") == 0) {
        fuzz(argc > 4 ? atol(argv[4]) : 20000);
    } else if (strcmp(argv[3], "step") == 0) {
        step();
    } else if (strcmp(argv[3], "late") == 0) {
        late();
    } else if (strcmp(argv[3], "jump") == 0) {
        jump();
    } else if (strcmp(argv[3], "stamps") == 0) {
        stamps();
    } else if (strcmp(argv[3], "failed-send") == 0) {
        failed_send();
    } else if (strcmp(argv[3], "hardware") == 0) {
        hardware();
    } else {
        CHECK(!"a known scenario");
    }
    server_stop(server);
    CHECK(!server_running(server));
    for (size_t i = 0; i < COUNTERS; i++) {
        if (counter(counter_names[i]) > 0) {
            printf("%s=%llu\n", counter_names[i], (unsigned long long)counter(counter_names[i]));
        }
    }
    server_free(server);
    return 0;
}
