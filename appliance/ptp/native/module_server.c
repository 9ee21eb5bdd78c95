/* Server: start, stop, what can be looked at. */
#define PY_SSIZE_T_CLEAN
#include "module.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "server.h"

typedef struct {
    PyObject_HEAD struct server *server;
    PyObject *page;
} ServerObject;

static PyObject *server_object_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    struct server_config config = {0};
    PyObject *page;
    ServerObject *self;

    if (!PyArg_ParseTuple(args, "O!:Server", clock_page_type, &page) ||
        !server_config_from_python(&config, kwargs)) {
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
    Py_END_ALLOW_THREADS Py_XDECREF(self->page);
    release(object);
    Py_DECREF(type);
}

static PyObject *start(PyObject *object, PyObject *unused)
{
    struct start_error error = {0};
    PyObject *arguments;
    int started;

    (void)unused;
    Py_BEGIN_ALLOW_THREADS started = server_start(((ServerObject *)object)->server, &error);
    Py_END_ALLOW_THREADS if (started)
    {
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
    Py_BEGIN_ALLOW_THREADS server_stop(((ServerObject *)object)->server);
    Py_END_ALLOW_THREADS Py_RETURN_NONE;
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
    return PyUnicode_FromString(server_hardware_stamps(((ServerObject *)object)->server) ? "hardware"
                                                                                         : "software");
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
