/* Server: configuration from keyword arguments, start, stop, what can be looked at. */
#define PY_SSIZE_T_CLEAN
#include "module.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stddef.h>
#include <stdlib.h>

#include "server.h"

typedef struct {
    PyObject_HEAD
    struct server *server;
    PyObject *page;
} ServerObject;

/* Options that are numbers: one row each. Booleans are 0 and 1. */
#define OPTION(option, field, low, high, fallback)                                                                 \
    {option, low, high, fallback, offsetof(struct server_config, field), sizeof(((struct server_config *)0)->field)}
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
    OPTION("contracts_max", limits.contracts_max, 1, 65536, 8192),
    OPTION("contracts_per_address", limits.contracts_per_address, 1, 65536, 64),
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

static int set_address(struct server_config *config, const char *text)
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

static int set_addresses(struct server_config *config, PyObject *value)
{
    Py_ssize_t length = PySequence_Size(value);

    if (length < 0) {
        return 0;
    }
    if (length == 0 || PyUnicode_Check(value)) {
        PyErr_SetString(PyExc_ValueError, "addresses must be a list of at least one address");
        return 0;
    }
    for (Py_ssize_t i = 0; i < length; i++) {
        PyObject *item = PySequence_GetItem(value, i);
        const char *text = item ? PyUnicode_AsUTF8AndSize(item, NULL) : NULL;
        int ok = text != NULL && set_address(config, text);

        Py_XDECREF(item);
        if (!ok) {
            return 0;
        }
    }
    return 1;
}

static int set_identity(struct server_config *config, PyObject *value)
{
    char *bytes;
    Py_ssize_t size;

    return PyBytes_AsStringAndSize(value, &bytes, &size) == 0 &&
           identity_from_bytes("clock_identity", bytes, size, &config->self.identity);
}

static int set_interface(struct server_config *config, PyObject *value)
{
    const char *text = PyUnicode_AsUTF8AndSize(value, NULL);

    if (text == NULL) {
        return 0;
    }
    if (strlen(text) >= sizeof(config->interface)) {
        PyErr_Format(PyExc_ValueError, "interface: '%s' is too long for an interface name", text);
        return 0;
    }
    strcpy(config->interface, text);
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
                  {"interface", set_interface},
                  {"timestamping", set_timestamping}};

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(others[i].name, name) == 0) {
            return others[i].set(config, value);
        }
    }
    return set_number(config, name, value);
}

static int read_options(struct server_config *config, PyObject *kwargs)
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
        PyErr_Format(PyExc_TypeError, "Server() needs %s", config->addresses == 0 ? "addresses" : "clock_identity");
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
    if (config->stamp_mode == STAMPS_HARDWARE && config->interface[0] == '\0') {
        PyErr_SetString(PyExc_ValueError, "hardware timestamping needs an interface");
        return 0;
    }
    return 1;
}

static PyObject *server_object_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    struct server_config config = {0};
    PyObject *page;
    ServerObject *self;

    if (!PyArg_ParseTuple(args, "O!:Server", clock_page_type, &page) || !read_options(&config, kwargs)) {
        return NULL;
    }
    self = (ServerObject *)allocate(type, 0);
    if (self == NULL) {
        return NULL;
    }
    Py_INCREF(page);
    self->page = page;
    self->server = server_new(&config, ((ClockPageObject *)page)->page);
    if (self->server == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void server_object_dealloc(PyObject *object)
{
    ServerObject *self = (ServerObject *)object;
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

    Py_BEGIN_ALLOW_THREADS /* stopping takes milliseconds */
    server_free(self->server);
    Py_END_ALLOW_THREADS
    Py_XDECREF(self->page);
    release(object);
    Py_DECREF(type);
}

static PyObject *start(PyObject *object, PyObject *unused)
{
    struct start_error error = {0};
    PyObject *arguments;
    int started;

    (void)unused;
    Py_BEGIN_ALLOW_THREADS
    started = server_start(((ServerObject *)object)->server, &error);
    Py_END_ALLOW_THREADS
    if (started) {
        Py_RETURN_NONE;
    }
    arguments = Py_BuildValue("is", error.code, error.text);
    if (arguments != NULL) {
        PyErr_SetObject(PyExc_OSError, arguments); /* becomes PermissionError and the like by its number */
        Py_DECREF(arguments);
    }
    return NULL;
}

static PyObject *stop(PyObject *object, PyObject *unused)
{
    (void)unused;
    Py_BEGIN_ALLOW_THREADS
    server_stop(((ServerObject *)object)->server);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static int set_total(PyObject *totals, const char *name, unsigned long long value)
{
    PyObject *number = PyLong_FromUnsignedLongLong(value);
    int done = number != NULL && PyDict_SetItemString(totals, name, number) == 0;

    Py_XDECREF(number);
    return done;
}

static PyObject *stats(PyObject *object, PyObject *unused)
{
    struct server *server = ((ServerObject *)object)->server;
    uint64_t totals[COUNTERS];
    uint64_t subscriptions[16] = {0};
    uint32_t found = 0;
    struct contract *contracts = server_contracts(server, &found);
    PyObject *result;
    int ok = 1;

    (void)unused;
    if (contracts == NULL) {
        return PyErr_NoMemory();
    }
    for (uint32_t i = 0; i < found; i++) {
        subscriptions[contracts[i].type & 15]++;
    }
    free(contracts);
    server_counters(server, totals);
    result = PyDict_New();
    if (result == NULL) {
        return NULL;
    }
    for (size_t i = 0; ok && i < COUNTERS; i++) {
        ok = set_total(result, counter_names[i], totals[i]);
    }
    if (!ok || !set_total(result, "subscriptions.announce", subscriptions[PTP_ANNOUNCE]) ||
        !set_total(result, "subscriptions.sync", subscriptions[PTP_SYNC]) ||
        !set_total(result, "subscriptions.delay_resp", subscriptions[PTP_DELAY_RESP])) {
        Py_DECREF(result);
        return NULL;
    }
    return result;
}

static PyObject *contract_tuple(const struct contract *contract)
{
    char host[INET6_ADDRSTRLEN] = "";
    char identity[8];
    const union socket_address *peer = &contract->client.peer;

    if (peer->any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &peer->v6.sin6_addr, host, sizeof(host));
    } else {
        inet_ntop(AF_INET, &peer->v4.sin_addr, host, sizeof(host));
    }
    for (int i = 0; i < 8; i++) {
        identity[i] = (char)(contract->identity >> (56 - 8 * i));
    }
    return Py_BuildValue("siy#iiiILK", host, (int)endpoint_port(&contract->client), identity, (Py_ssize_t)8,
                         (int)contract->port_number, (int)contract->type, (int)contract->log_period,
                         (unsigned int)contract->duration_s, (long long)contract->expires_raw_ns,
                         (unsigned long long)contract->sent);
}

static PyObject *contracts(PyObject *object, PyObject *unused)
{
    uint32_t found = 0;
    struct contract *copy = server_contracts(((ServerObject *)object)->server, &found);
    PyObject *result;

    (void)unused;
    if (copy == NULL) {
        return PyErr_NoMemory();
    }
    result = PyList_New(found);
    for (uint32_t i = 0; result != NULL && i < found; i++) {
        PyObject *item = contract_tuple(&copy[i]);

        if (item == NULL || PyList_SetItem(result, i, item) < 0) {
            Py_CLEAR(result);
        }
    }
    free(copy);
    return result;
}

static PyObject *get_timestamping(PyObject *object, void *unused)
{
    (void)unused;
    return PyUnicode_FromString(server_hardware_stamps(((ServerObject *)object)->server) ? "hardware" : "software");
}

static PyObject *get_phc_index(PyObject *object, void *unused)
{
    int index = server_phc_index(((ServerObject *)object)->server);

    (void)unused;
    if (index < 0) {
        Py_RETURN_NONE;
    }
    return PyLong_FromLong(index);
}

static PyObject *get_running(PyObject *object, void *unused)
{
    (void)unused;
    return PyBool_FromLong(server_running(((ServerObject *)object)->server));
}

static PyObject *get_heartbeat(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromLongLong(server_heartbeat_raw_ns(((ServerObject *)object)->server));
}

static PyMethodDef methods[] = {
    {"start", start, METH_NOARGS, "Open the ports and start answering."},
    {"stop", stop, METH_NOARGS, "Cancel the contracts, end the threads, close the ports."},
    {"stats", stats, METH_NOARGS, "Counters since the server was made, by name."},
    {"contracts", contracts, METH_NOARGS, "The unicast contracts in force."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"timestamping", get_timestamping, NULL, "What start() found: software or hardware.", NULL},
    {"phc_index", get_phc_index, NULL, "The /dev/ptpN behind hardware stamps, else None.", NULL},
    {"running", get_running, NULL, "Both threads are alive.", NULL},
    {"heartbeat_raw_ns", get_heartbeat, NULL, "The older of the threads' last signs of life.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A PTP server in native threads, fed by a ClockPage."},
    {Py_tp_new, server_object_new},
    {Py_tp_dealloc, server_object_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, attributes},
    {0, NULL},
};

PyType_Spec server_spec = {
    .name = "appliance.ptp._native.Server",
    .basicsize = sizeof(ServerObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};
