/*
 * Feeds wire.c from standard input, one command per line, one line of output each:
 *
 *   parse HEX                                  verdict and fields
 *   sync SEQUENCE TAI_NS                       the message as hex, likewise:
 *   follow_up SEQUENCE TAI_NS LOG
 *   delay_resp HEX TAI_NS                      for this request
 *   announce SEQUENCE TAI_NS CORRECTION LOG FLAGS CLASS ACCURACY VARIANCE UTC
 *   grant IDENTITY PORT SEQUENCE TYPE LOG DURATION [TYPE LOG DURATION]...
 *   cancel IDENTITY PORT SEQUENCE TYPE
 *
 * The first argument is our clockIdentity in hex.
 */
#include <inttypes.h>
#include <string.h>

#include "check.h"
#include "wire.h"

static const char *const verdicts[PTP_VERDICTS] = {
    "ok",     "size", "length",       "trailer",     "version", "sdo_id",
    "domain", "type", "own_identity", "nanoseconds", "tlv",
};

static uint8_t *from_hex(const char *hex, size_t *size)
{
    uint8_t *data;

    *size = strlen(hex) / 2;
    data = malloc(*size); /* exactly: the sanitizer sees one byte too many */
    CHECK(data != NULL || *size == 0);
    for (size_t i = 0; i < *size; i++) {
        unsigned byte;

        CHECK(sscanf(hex + 2 * i, "%2x", &byte) == 1);
        data[i] = (uint8_t)byte;
    }
    return data;
}

static void print_hex(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        printf("%02x", data[i]);
    }
    printf("\n");
}

static void parse(const char *hex, const struct ptp_self *self)
{
    struct ptp_message m;
    size_t size;
    uint8_t *data = from_hex(hex, &size);
    enum ptp_verdict verdict = ptp_parse(data, size, self, &m);

    printf("verdict=%s", verdicts[verdict]);
    if (verdict == PTP_OK) {
        printf(" messageType=%d minorVersion=%d messageLength=%d flags=%d sequenceId=%d control=%d"
               " logMessageInterval=%d correction_raw=%" PRId64 " clockIdentity=%016" PRIx64 " portNumber=%d"
               " tlv_excess=%u tlvs=",
               m.type, m.minor_version, m.length, m.flags, m.sequence, m.control, m.log_interval,
               m.correction_2p16, m.identity, m.port_number, m.tlv_excess);
        for (uint32_t i = 0; i < m.tlv_count; i++) {
            uint32_t sum = 0;

            for (uint32_t j = 0; j < m.tlv[i].length; j++) {
                sum += m.tlv[i].value[j]; /* touch every byte */
            }
            printf("%s%d:%d:%u", i ? "," : "", m.tlv[i].type, m.tlv[i].length, sum);
        }
        if (m.type == PTP_SIGNALING || m.type == PTP_MANAGEMENT) {
            printf(" targetClock=%016" PRIx64 " targetPort=%d", m.target_identity, m.target_port_number);
        } else {
            printf(" timestamp_sec=%" PRIu64 " timestamp_ns=%u", m.origin_s, m.origin_ns);
        }
        printf(" offset=%d", ptp_response_port_offset(&m));
    }
    printf("\n");
    free(data);
}

static void build(char *line, const struct ptp_self *self)
{
    uint8_t out[PTP_REPLY_MAX];
    char *command = strtok(line, " ");
    long long n[16] = {0};
    char *words[16] = {NULL};
    int count = 0;
    size_t size = 0;

    for (char *word; count < 16 && (word = strtok(NULL, " ")) != NULL; count++) {
        words[count] = word;
        n[count] = strtoll(word, NULL, 0);
    }
    if (strcmp(command, "sync") == 0) {
        size = ptp_build_sync(out, self, (uint16_t)n[0], n[1]);
    } else if (strcmp(command, "follow_up") == 0) {
        size = ptp_build_follow_up(out, self, (uint16_t)n[0], n[1], (int8_t)n[2]);
    } else if (strcmp(command, "delay_resp") == 0) {
        struct ptp_message request;
        size_t request_size;
        uint8_t *data = from_hex(words[0], &request_size);

        CHECK(ptp_parse(data, request_size, self, &request) == PTP_OK);
        size = ptp_build_delay_resp(out, self, &request, n[1]);
        free(data);
    } else if (strcmp(command, "announce") == 0) {
        struct clock_announce announce = {
            .grandmaster_identity = self->identity,
            .flags = (uint8_t)n[4],
            .clock_class = (uint8_t)n[5],
            .clock_accuracy = (uint8_t)n[6],
            .offset_scaled_log_variance = (uint16_t)n[7],
            .current_utc_offset_s = (int16_t)n[8],
            .time_source = 0x20,
            .priority1 = 128,
            .priority2 = 128,
        };

        size = ptp_build_announce(out, self, &announce, (uint16_t)n[0], n[1], n[2], (int8_t)n[3]);
    } else {
        size = ptp_build_signaling(out, self, strtoull(words[0], NULL, 16), (uint16_t)n[1], (uint16_t)n[2]);
        for (int i = 3; i + 2 < count && strcmp(command, "grant") == 0; i += 3) {
            size = ptp_append_grant(out, size, (uint8_t)n[i], (int8_t)n[i + 1], (uint32_t)n[i + 2]);
        }
        if (strcmp(command, "cancel") == 0) {
            size = ptp_append_cancel(out, size, PTP_TLV_CANCEL_UNICAST, (uint8_t)n[3]);
        }
    }
    CHECK(size > 0 && size <= PTP_REPLY_MAX - PTP_IPV6_TRAILER);
    print_hex(out, size);
}

int main(int argc, char **argv)
{
    static char line[8192];
    struct ptp_self self = {.minor_version = 1};

    CHECK(argc == 2);
    self.identity = strtoull(argv[1], NULL, 16);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "parse ", 6) == 0) {
            parse(line + 6, &self);
        } else {
            build(line, &self);
        }
    }
    return 0;
}
