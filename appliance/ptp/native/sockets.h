/* Opening and using the UDP sockets: listeners on the PTP ports, reply pairs on ephemeral ones. */
#ifndef PTP_SOCKETS_H
#define PTP_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "endpoint.h"

/* What went wrong while starting: errno and a sentence that names the address and port, or the interface. */
struct start_error {
    int code;
    char text[192];
};

struct socket_options {
    bool hardware_stamps; /* else software */
    uint8_t dscp;
    uint32_t receive_buffer_bytes;
};

/* Bind a listener. `stamped`: deliver receive stamps (event port). Returns the descriptor, or -1 with
 * `error`. */
int socket_listen(const union socket_address *address, uint16_t port, bool stamped,
                  const struct socket_options *options, struct start_error *error);

/* A reply socket on an ephemeral port; it receives nothing. `stamped`: report transmit stamps. */
int socket_reply(int family, bool stamped, const struct socket_options *options, struct start_error *error);

/* Start the transmit stamp numbers of a `stamped` reply socket at 0 again. */
int socket_restart_stamp_ids(int fd, const struct socket_options *options);

/* Does the kernel take the stamp's number from the sender (SCM_TS_OPT_ID, Linux 6.13)? */
bool socket_takes_stamp_ids(void);

/*
 * Wait until the kernel really stamps what is received. It starts to a moment after the first socket has
 * asked for it, and until then hands out packets with no stamp or a late one. A tenth of a second at most.
 */
void socket_await_stamps(void);

/*
 * Send from `to->local` to `to->peer`; IPv6 gets its trailer (there must be room for two more bytes in
 * `data`). `stamp_id`: number of the transmit stamp, NULL to leave the numbering to the kernel. 0 or negative
 * errno.
 */
int socket_send(int fd, const struct endpoint *to, uint8_t *data, size_t size, const uint32_t *stamp_id);

/* "192.0.2.1" or "[2001:db8::1]" for messages. */
void socket_address_text(const union socket_address *address, char *text, size_t size);

#endif
