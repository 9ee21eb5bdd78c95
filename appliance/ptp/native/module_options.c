/* Server: the configuration, from keyword arguments. Every refusal names the option. */
#define PY_SSIZE_T_CLEAN
#include "module.h"

#include <netdb.h>
#include <stddef.h>

#include "server.h"

/* Options that are numbers: one row each. Booleans are 0 and 1. */
#define OPTION(option, field, low, high, fallback)                                                           \
    {option,                                                                                                 \
     low,                                                                                                    \
     high,                                                                                                   \
     fallback,                                                                                               \
     offsetof(struct server_config, field),                                                                  \
     sizeof(((struct server_config *)0)->field)}
static const struct number_option {
    const char *name;
    long minimum, maximum, fallback;
    size_t offset, size;
} numbers[] = {
    OPTION("event_port", event_port, 1, 65535, 319),
    OPTION("general_port", general_port, 1, 65535, 320),
    OPTION("domain", self.domain, 0, 255, 0),
    OPTION("major_sdo_id", self.major_sdo_id, 0, 15, 0),
    OPTION("minor_version", self.minor_version, 0, 1, 1),
    OPTION("dscp", sockets.dscp, 0, 63, 0),
    OPTION("reply_pairs", reply_pairs, SERVER_PAIRS_MIN, SERVER_PAIRS_MAX, SERVER_PAIRS_MIN),
    OPTION("stamp_wait_ms", stamp_wait_ms, 1, 1000, 100),
    OPTION("receive_buffer_bytes", sockets.receive_buffer_bytes, 65536, 1 << 28, 1 << 22),
    OPTION("log_period_min", limits.log_period_min, -7, 10, -7),
    OPTION("log_period_max", limits.log_period_max, -7, 10, 4),
    OPTION("duration_max_s", limits.duration_max_s, 1, 86400, 3600),
    OPTION("contracts_max", limits.contracts_max, 0, 1000000, 100000),
    OPTION("contracts_per_address", limits.contracts_per_address, 0, 1000000, 64),
    OPTION("messages_per_s_address", limits.messages_per_s_address, 0, 1000000, 2048),
    OPTION("messages_per_s_total", limits.messages_per_s_total, 0, 10000000, 50000),
    OPTION("requests_per_s_prefix", prefix_per_s, 0, 10000000, 20000),
    OPTION("requests_burst_prefix", prefix_burst, 1, 10000000, 20000),
    OPTION("requests_per_s_total", total_per_s, 0, 10000000, 200000),
    OPTION("requests_burst_total", total_burst, 1, 10000000, 50000),
    OPTION("delay_resp_without_contract", delay_resp_without_contract, 0, 1, 0),
    OPTION("kernel_stamp_ids", kernel_stamp_ids, 0, 1, 0),
};
enum { NUMBERS = sizeof(numbers) / sizeof(numbers[0]) };

static void store(struct server_config *config, const struct number_option *option, long value)
{
    char *field = (char *)config + option->offset;

    switch (option->size) {
    case 1:
        *(uint8_t *)field = (uint8_t)value; /* also int8_t and bool: same bytes */
        break;
    case 2:
        *(uint16_t *)field = (uint16_t)value;
        break;
    default:
        *(uint32_t *)field = (uint32_t)value;
        break;
    }
}

static int set_number(struct server_config *config, const char *name, PyObject *value)
{
    for (size_t i = 0; i < NUMBERS; i++) {
        long number;

        if (strcmp(numbers[i].name, name) != 0) {
            continue;
        }
        number = PyLong_AsLong(value);
        if (number == -1 && PyErr_Occurred()) {
            return 0;
        }
        if (number < numbers[i].minimum || number > numbers[i].maximum) {
            PyErr_Format(PyExc_ValueError, "%s must be %ld to %ld, not %ld", name, numbers[i].minimum,
                         numbers[i].maximum, number);
            return 0;
        }
        store(config, &numbers[i], number);
        return 1;
    }
    PyErr_Format(PyExc_TypeError, "Server() has no option '%s'", name);
    return 0;
}

static int add_address(struct server_config *config, const char *text)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM};
    struct addrinfo *found;

    if (config->addresses == SERVER_ADDRESSES_MAX) {
        PyErr_Format(PyExc_ValueError, "at most %d addresses", SERVER_ADDRESSES_MAX);
        return 0;
    }
    if (getaddrinfo(text, NULL, &hints, &found) != 0) {
        PyErr_Format(PyExc_ValueError, "addresses: '%s' is no IPv4 or IPv6 address", text);
        return 0;
    }
    memcpy(&config->address[config->addresses++], found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return 1;
}

static int add_interface(struct server_config *config, const char *text)
{
    if (config->interfaces == SERVER_ADDRESSES_MAX || strlen(text) >= IF_NAMESIZE || text[0] == '\0') {
        PyErr_Format(PyExc_ValueError, "interfaces: '%s' is no interface name, or one of more than %d", text,
                     SERVER_ADDRESSES_MAX);
        return 0;
    }
    strcpy(config->interface[config->interfaces++], text);
    return 1;
}

/* Hand each text of a sequence to `add`. */
static int for_each(struct server_config *config, const char *option, PyObject *value,
                    int (*add)(struct server_config *, const char *))
{
    Py_ssize_t length = PyUnicode_Check(value) ? -1 : PySequence_Size(value);

    if (length < 0) {
        PyErr_Format(PyExc_TypeError, "%s must be a list of texts", option);
        return 0;
    }
    for (Py_ssize_t i = 0; i < length; i++) {
        PyObject *item = PySequence_GetItem(value, i);
        const char *text = item ? PyUnicode_AsUTF8AndSize(item, NULL) : NULL;
        int ok = text != NULL && add(config, text);

        Py_XDECREF(item);
        if (!ok) {
            return 0;
        }
    }
    return 1;
}

static int set_addresses(struct server_config *config, PyObject *value)
{
    return for_each(config, "addresses", value, add_address);
}

static int set_interfaces(struct server_config *config, PyObject *value)
{
    return for_each(config, "interfaces", value, add_interface);
}

static int set_identity(struct server_config *config, PyObject *value)
{
    char *bytes;
    Py_ssize_t size;

    return PyBytes_AsStringAndSize(value, &bytes, &size) == 0 &&
           identity_from_bytes("clock_identity", bytes, size, &config->self.identity);
}

static int set_stamp_interface(struct server_config *config, PyObject *value)
{
    const char *text = PyUnicode_AsUTF8AndSize(value, NULL);

    if (text == NULL) {
        return 0;
    }
    if (strlen(text) >= sizeof(config->stamp_interface)) {
        PyErr_Format(PyExc_ValueError, "stamp_interface: '%s' is too long for an interface name", text);
        return 0;
    }
    strcpy(config->stamp_interface, text);
    return 1;
}

static int set_timestamping(struct server_config *config, PyObject *value)
{
    static const char *const modes[] = {[STAMPS_AUTO] = "auto", "software", "hardware"};
    const char *text = PyUnicode_AsUTF8AndSize(value, NULL);

    if (text == NULL) {
        return 0;
    }
    for (int i = STAMPS_AUTO; i <= STAMPS_HARDWARE; i++) {
        if (strcmp(text, modes[i]) == 0) {
            config->stamp_mode = (enum stamp_mode)i;
            return 1;
        }
    }
    PyErr_Format(PyExc_ValueError, "timestamping must be auto, software or hardware, not '%s'", text);
    return 0;
}

static int set_option(struct server_config *config, const char *name, PyObject *value)
{
    static const struct {
        const char *name;
        int (*set)(struct server_config *, PyObject *);
    } others[] = {{"addresses", set_addresses},
                  {"clock_identity", set_identity},
                  {"interfaces", set_interfaces},
                  {"stamp_interface", set_stamp_interface},
                  {"timestamping", set_timestamping}};

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(others[i].name, name) == 0) {
            return others[i].set(config, value);
        }
    }
    return set_number(config, name, value);
}

int server_config_from_python(struct server_config *config, PyObject *kwargs)
{
    PyObject *key;
    PyObject *value;
    Py_ssize_t position = 0;

    for (size_t i = 0; i < NUMBERS; i++) {
        store(config, &numbers[i], numbers[i].fallback);
    }
    while (kwargs != NULL && PyDict_Next(kwargs, &position, &key, &value)) {
        const char *name = PyUnicode_AsUTF8AndSize(key, NULL);

        if (name == NULL || !set_option(config, name, value)) {
            return 0;
        }
    }
    if (config->addresses == 0 || config->self.identity == 0) {
        PyErr_Format(PyExc_TypeError, "Server() needs %s",
                     config->addresses == 0 ? "addresses" : "clock_identity");
        return 0;
    }
    if (config->event_port == config->general_port) {
        PyErr_Format(PyExc_ValueError, "event_port and general_port are both %d", config->event_port);
        return 0;
    }
    if (config->limits.log_period_min > config->limits.log_period_max) {
        PyErr_SetString(PyExc_ValueError, "log_period_min is above log_period_max");
        return 0;
    }
    if (config->stamp_mode == STAMPS_HARDWARE && config->stamp_interface[0] == '\0') {
        PyErr_SetString(PyExc_ValueError, "hardware timestamping needs a stamp_interface");
        return 0;
    }
    return 1;
}
