#define _GNU_SOURCE
#include "replies.h"

#include <errno.h>
#include <time.h>

#include <linux/errqueue.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool open_pair(struct reply_pair *pair, int family, const struct socket_options *options,
                      struct start_error *error)
{
    int domain = family == FAMILY_V6 ? AF_INET6 : AF_INET;

    pair->event_fd = socket_reply(domain, true, options, error);
    pair->general_fd = pair->event_fd < 0 ? -1 : socket_reply(domain, false, options, error);
    return pair->general_fd >= 0;
}

bool replies_open(struct replies *replies, const bool families[FAMILIES], uint32_t pairs, bool own_ids,
                  const struct socket_options *options, struct start_error *error)
{
    *replies = (struct replies){.pairs = pairs, .own_ids = own_ids, .options = *options};
    for (int family = 0; family < FAMILIES; family++) {
        if (!families[family]) {
            continue;
        }
        replies->pair[family] = calloc(pairs, sizeof(struct reply_pair));
        if (replies->pair[family] == NULL) {
            *error = (struct start_error){ENOMEM, "no memory for the reply sockets"};
            return false;
        }
        for (uint32_t i = 0; i < pairs; i++) {
            replies->pair[family][i].event_fd = -1;
            replies->pair[family][i].general_fd = -1;
        }
        for (uint32_t i = 0; i < pairs; i++) {
            if (!open_pair(&replies->pair[family][i], family, options, error)) {
                return false;
            }
        }
    }
    return true;
}

static void close_fd(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

void replies_close(struct replies *replies)
{
    for (int family = 0; family < FAMILIES; family++) {
        for (uint32_t i = 0; replies->pair[family] != NULL && i < replies->pairs; i++) {
            close_fd(replies->pair[family][i].event_fd);
            close_fd(replies->pair[family][i].general_fd);
        }
        free(replies->pair[family]);
        replies->pair[family] = NULL;
    }
}

struct reply_pair *replies_choose(const struct replies *replies, int family, uint64_t identity,
                                  uint16_t port_number, uint16_t offset)
{
    /* The offset is added after hashing: every step up to the number of pairs is then another port. */
    uint64_t spread = mix64(identity ^ (uint64_t)port_number << 48) % replies->pairs + offset;

    return &replies->pair[family][spread % replies->pairs];
}

struct awaited *pair_next(struct reply_pair *pair)
{
    struct awaited *awaited = &pair->awaited[pair->next_id % AWAITED_MAX];

    if (pair->next_id - pair->first_id >= AWAITED_MAX) {
        return NULL;
    }
    awaited->id = pair->next_id;
    return awaited;
}

void pair_sent(struct reply_pair *pair)
{
    pair->next_id++;
}

struct awaited *pair_find(struct reply_pair *pair, uint32_t id)
{
    struct awaited *awaited = &pair->awaited[id % AWAITED_MAX];

    if (id - pair->first_id >= pair->next_id - pair->first_id || awaited->kind == AWAITED_NONE) {
        return NULL;
    }
    return awaited;
}

void pair_done(struct reply_pair *pair, struct awaited *awaited)
{
    awaited->kind = AWAITED_NONE;
    while (pair->first_id != pair->next_id &&
           pair->awaited[pair->first_id % AWAITED_MAX].kind == AWAITED_NONE) {
        pair->first_id++;
    }
}

struct awaited *pair_oldest(struct reply_pair *pair)
{
    return pair->first_id != pair->next_id ? &pair->awaited[pair->first_id % AWAITED_MAX] : NULL;
}

uint32_t pair_forget(struct reply_pair *pair)
{
    uint32_t forgotten = 0;

    for (struct awaited *oldest; (oldest = pair_oldest(pair)) != NULL; forgotten++) {
        pair_done(pair, oldest);
    }
    return forgotten;
}

static int64_t to_ns(struct timespec time)
{
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

struct stamps stamps_from_kernel(const struct scm_timestamping *kernel)
{
    return (struct stamps){to_ns(kernel->ts[0]), to_ns(kernel->ts[2])};
}

/* A transmit stamp comes as two control messages: the time, and an extended error that carries its number. */
static bool decode_report(struct msghdr *header, struct stamp_report *report)
{
    struct scm_timestamping kernel;
    struct sock_extended_err extended;
    bool has_time = false;
    bool has_id = false;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPING &&
            c->cmsg_len >= CMSG_LEN(sizeof(kernel))) {
            memcpy(&kernel, CMSG_DATA(c), sizeof(kernel));
            report->stamps = stamps_from_kernel(&kernel);
            has_time = true;
        } else if (((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
                    (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR)) &&
                   c->cmsg_len >= CMSG_LEN(sizeof(extended))) {
            memcpy(&extended, CMSG_DATA(c), sizeof(extended));
            report->id = extended.ee_data;
            has_id = extended.ee_errno == ENOMSG && extended.ee_origin == SO_EE_ORIGIN_TIMESTAMPING &&
                     extended.ee_info == SCM_TSTAMP_SND;
        }
    }
    return has_time && has_id;
}

int pair_read_stamps(const struct reply_pair *pair, struct stamp_report *reports)
{
    enum { CONTROL_SIZE = 256 }; /* IPv6 needs 128; a short buffer would cut the stamp */
    static _Thread_local _Alignas(struct cmsghdr) char control[STAMPS_AT_ONCE][CONTROL_SIZE];
    struct mmsghdr messages[STAMPS_AT_ONCE];
    int found = 0;
    int received;

    for (int i = 0; i < STAMPS_AT_ONCE; i++) {
        messages[i].msg_hdr = (struct msghdr){.msg_control = control[i], .msg_controllen = CONTROL_SIZE};
    }
    do {
        received = recvmmsg(pair->event_fd, messages, STAMPS_AT_ONCE, MSG_ERRQUEUE | MSG_DONTWAIT, NULL);
    } while (received < 0 && errno == EINTR);
    for (int i = 0; i < received; i++) {
        found += decode_report(&messages[i].msg_hdr, &reports[found]) ? 1 : 0;
    }
    return found;
}
