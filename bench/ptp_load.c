/*
 * Open-loop SPTP load: sends Delay_Req at a given rate from many client identities and counts the exchanges
 * that were fully answered (Sync and Announce). Prints one JSON object.
 *
 *   ptp_load ADDRESS EVENT_PORT REQUESTS_PER_S SECONDS IDENTITIES
 */
#define _GNU_SOURCE
#include <netdb.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum {
    BURST = 64,
    REQUEST_SIZE = 52,
    REPLY_SIZE = 128,
    SEQUENCES = 65536,
    LINGER_NS = 300000000,
    BUCKETS = 2000
};
enum { SAW_SYNC = 1, SAW_ANNOUNCE = 2 };

static struct {
    int64_t sent_ns;
    uint8_t saw;
} flight[SEQUENCES];

static struct addrinfo *server;
static uint64_t sent, send_errors, syncs, announces, complete;
static uint64_t turnaround[BUCKETS]; /* 10 us each; the last takes the rest */

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void make_request(uint8_t *out, uint32_t identity, uint16_t sequence)
{
    static const uint8_t request[REQUEST_SIZE] = {
        0x01,        0x12,        0,    50,   0, 0, 0x24, 0x00, /* Delay_Req, 50 bytes, SPTP flags */
        [20] = 0x0C, 0x42,        0xA1, 0xFF,                   /* identity; the low half is filled in */
        [28] = 0x10, 0x92, /* port number above 10: all replies to this socket */
        [33] = 0x7F, [44] = 0x20, 0x07, 0,    2,
    };

    memcpy(out, request, sizeof(request));
    for (int i = 0; i < 4; i++) {
        out[24 + i] = (uint8_t)(identity >> (24 - 8 * i));
    }
    out[30] = (uint8_t)(sequence >> 8);
    out[31] = (uint8_t)sequence;
}

static void send_requests(int fd, uint64_t upto, uint32_t identities)
{
    uint8_t data[BURST][REQUEST_SIZE];
    struct iovec iov[BURST];
    struct mmsghdr message[BURST];

    while (sent < upto) {
        int count = upto - sent < BURST ? (int)(upto - sent) : BURST;
        int64_t now = now_ns();
        int done;

        memset(message, 0, sizeof(message));
        for (int i = 0; i < count; i++) {
            uint16_t sequence = (uint16_t)(sent + (uint64_t)i);

            make_request(data[i], (uint32_t)((sent + (uint64_t)i) % identities), sequence);
            iov[i] = (struct iovec){data[i], REQUEST_SIZE};
            message[i].msg_hdr.msg_iov = &iov[i];
            message[i].msg_hdr.msg_iovlen = 1;
            message[i].msg_hdr.msg_name = server->ai_addr;
            message[i].msg_hdr.msg_namelen = server->ai_addrlen;
            flight[sequence].sent_ns = now;
            flight[sequence].saw = 0;
        }
        done = sendmmsg(fd, message, (unsigned)count, MSG_DONTWAIT);
        if (done <= 0) {
            send_errors++;
            return;
        }
        sent += (uint64_t)done;
    }
}

static void note_reply(const uint8_t *reply, size_t size)
{
    uint16_t sequence;
    uint8_t bit;

    if (size < 44) {
        return;
    }
    sequence = (uint16_t)(reply[30] << 8 | reply[31]);
    bit = (reply[0] & 15) == 0 ? SAW_SYNC : (reply[0] & 15) == 11 ? SAW_ANNOUNCE : 0;
    if (flight[sequence].saw & bit || bit == 0) {
        return;
    }
    flight[sequence].saw |= bit;
    syncs += bit == SAW_SYNC;
    announces += bit == SAW_ANNOUNCE;
    if (flight[sequence].saw == (SAW_SYNC | SAW_ANNOUNCE)) {
        int64_t bucket = (now_ns() - flight[sequence].sent_ns) / 10000;

        complete++;
        turnaround[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    }
}

static void receive_replies(int fd)
{
    static uint8_t data[BURST][REPLY_SIZE];
    struct iovec iov[BURST];
    struct mmsghdr message[BURST];
    int count;

    do {
        memset(message, 0, sizeof(message));
        for (int i = 0; i < BURST; i++) {
            iov[i] = (struct iovec){data[i], REPLY_SIZE};
            message[i].msg_hdr.msg_iov = &iov[i];
            message[i].msg_hdr.msg_iovlen = 1;
        }
        count = recvmmsg(fd, message, BURST, MSG_DONTWAIT, NULL);
        for (int i = 0; i < count; i++) {
            note_reply(data[i], message[i].msg_len);
        }
    } while (count == BURST);
}

static double percentile_us(double fraction)
{
    uint64_t seen = 0;

    for (int i = 0; i < BUCKETS; i++) {
        seen += turnaround[i];
        if ((double)seen >= fraction * (double)complete) {
            return (i + 1) * 10.0;
        }
    }
    return BUCKETS * 10.0;
}

int main(int argc, char **argv)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_DGRAM};
    int buffer_bytes = 1 << 24;
    int64_t start_ns, now;
    double rate, seconds;
    uint32_t identities;
    int fd;

    if (argc != 6 || getaddrinfo(argv[1], argv[2], &hints, &server) != 0) {
        fprintf(stderr, "usage: ptp_load ADDRESS EVENT_PORT REQUESTS_PER_S SECONDS IDENTITIES\n");
        return 2;
    }
    rate = atof(argv[3]);
    seconds = atof(argv[4]);
    identities = (uint32_t)atoi(argv[5]);
    fd = socket(server->ai_family, SOCK_DGRAM, 0);
    if (fd < 0 || !(rate > 0) || !(seconds > 0) || identities == 0) {
        fprintf(stderr, "ptp_load: no socket, or an argument that is not positive\n");
        return 2;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof(buffer_bytes)) < 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof(buffer_bytes));
    }
    start_ns = now_ns();
    while ((now = now_ns() - start_ns) < (int64_t)(seconds * 1e9) + LINGER_NS) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        double due = (double)now * 1e-9 < seconds ? (double)now * 1e-9 * rate : seconds * rate;

        send_requests(fd, (uint64_t)due, identities);
        poll(&wait, 1, 1);
        receive_replies(fd);
    }
    printf("{\"offered_per_s\": %.0f, \"sent\": %llu, \"send_errors\": %llu, \"syncs\": %llu, \"announces\": "
           "%llu, "
           "\"complete\": %llu, \"complete_per_s\": %.0f, \"answered_percent\": %.2f, \"median_us\": %.0f, "
           "\"p99_us\": %.0f}\n",
           rate, (unsigned long long)sent, (unsigned long long)send_errors, (unsigned long long)syncs,
           (unsigned long long)announces, (unsigned long long)complete, (double)complete / seconds,
           sent ? 100.0 * (double)complete / (double)sent : 0.0, percentile_us(0.5), percentile_us(0.99));
    return 0;
}
