#define _GNU_SOURCE
#include "hwstamp.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Narrowest first: stamping every packet costs CPU time on some parts. Any of them covers PTP over UDP. */
static const int filters[] = {HWTSTAMP_FILTER_PTP_V2_L4_EVENT, HWTSTAMP_FILTER_PTP_V2_EVENT,
                              HWTSTAMP_FILTER_ALL};
enum { FILTERS = sizeof(filters) / sizeof(filters[0]) };

static bool covers_ptp(int filter)
{
    for (size_t i = 0; i < FILTERS; i++) {
        if (filters[i] == filter) {
            return true;
        }
    }
    return false;
}

/* -1 with errno. A device without the operation says ENOTSUP, or ENOTTY from older drivers. */
static int device_ioctl(int fd, const char *interface, unsigned long request, void *data)
{
    struct ifreq ifr = {0};
    size_t length = strlen(interface);

    if (length >= sizeof(ifr.ifr_name)) {
        errno = ENODEV;
        return -1;
    }
    memcpy(ifr.ifr_name, interface, length);
    ifr.ifr_data = data;
    return ioctl(fd, request, &ifr);
}

static int no_support(int error)
{
    return error == ENOTTY || error == EINVAL ? -EOPNOTSUPP : -error;
}

static int set_filter(int fd, const char *interface, uint32_t offered)
{
    struct hwtstamp_config config = {0};

    if (device_ioctl(fd, interface, SIOCGHWTSTAMP, &config) == 0 && config.tx_type == HWTSTAMP_TX_ON &&
        covers_ptp(config.rx_filter)) {
        return 0;
    }
    for (size_t i = 0; i < FILTERS; i++) {
        if (!(offered & 1U << filters[i])) {
            continue;
        }
        config = (struct hwtstamp_config){.tx_type = HWTSTAMP_TX_ON, .rx_filter = filters[i]};
        if (device_ioctl(fd, interface, SIOCSHWTSTAMP, &config) == 0) {
            /* the driver writes back what it really does */
            return config.tx_type == HWTSTAMP_TX_ON && covers_ptp(config.rx_filter) ? 0 : -EOPNOTSUPP;
        }
        if (errno != ERANGE) { /* ERANGE: not this filter after all */
            return no_support(errno);
        }
    }
    return -EOPNOTSUPP;
}

int hwstamp_enable(const char *interface, int *phc_index)
{
    const uint32_t needed =
        SOF_TIMESTAMPING_TX_HARDWARE | SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE;
    struct ethtool_ts_info info = {.cmd = ETHTOOL_GET_TS_INFO};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int result;

    if (fd < 0) {
        return -errno;
    }
    if (device_ioctl(fd, interface, SIOCETHTOOL, &info) < 0) {
        result = no_support(errno);
    } else if ((info.so_timestamping & needed) != needed || info.phc_index < 0 ||
               !(info.tx_types & 1U << HWTSTAMP_TX_ON)) {
        result = -EOPNOTSUPP;
    } else {
        *phc_index = info.phc_index;
        result = set_filter(fd, interface, info.rx_filters);
    }
    close(fd);
    return result;
}
