/* ClockPage: the only writer of a clock page. Python's lock makes concurrent publishers take turns. */
#define PY_SSIZE_T_CLEAN
#include "module.h"

#include <stdlib.h>

PyObject *clock_page_type;

enum { RATE_LIMIT_PPB = 10000000 /* 1 %: no working oscillator, and far from where the arithmetic ends */ };

int identity_from_bytes(const char *field, const char *bytes, Py_ssize_t size, uint64_t *identity)
{
    if (size != 8) {
        PyErr_Format(PyExc_ValueError, "%s must be 8 bytes, not %zd", field, size);
        return 0;
    }
    *identity = 0;
    for (int i = 0; i < 8; i++) {
        *identity = *identity << 8 | (unsigned char)bytes[i];
    }
    return 1;
}

static PyObject *page_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {NULL};
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    ClockPageObject *self;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":ClockPage", keywords)) {
        return NULL;
    }
    self = (ClockPageObject *)allocate(type, 0);
    if (self == NULL) {
        return NULL;
    }
    memset(&self->data, 0, sizeof(self->data));
    self->page = calloc(1, sizeof(*self->page));
    if (self->page == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    clock_page_write(self->page, &self->data);
    return (PyObject *)self;
}

static void page_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

    free(((ClockPageObject *)object)->page);
    release(object);
    Py_DECREF(type);
}

static PyObject *publish(ClockPageObject *self)
{
    clock_page_write(self->page, &self->data);
    Py_RETURN_NONE;
}

static int fill_map(struct clock_map *map, long long anchor_ns, long long tai_ns, double rate_ppb,
                    long long valid_until_raw_ns, long long error_ns, int phc_index)
{
    if (!(rate_ppb >= -RATE_LIMIT_PPB && rate_ppb <= RATE_LIMIT_PPB)) { /* false for NaN, too */
        PyErr_Format(PyExc_ValueError, "rate_ppb must be within +-%d", RATE_LIMIT_PPB);
        return 0;
    }
    if (tai_ns <= 0 || error_ns < 0) {
        PyErr_Format(PyExc_ValueError, "%s must not be negative", tai_ns <= 0 ? "tai_anchor_ns" : "error_ns");
        return 0;
    }
    *map = (struct clock_map){
        .anchor_ns = anchor_ns,
        .anchor_tai_ns = tai_ns,
        .rate_2p64 = (int64_t)(rate_ppb * 1e-9 * 18446744073709551616.0),
        .valid_until_raw_ns = valid_until_raw_ns,
        .error_ns = error_ns,
        .valid = 1,
        .phc_index = phc_index,
    };
    return 1;
}

static PyObject *publish_map(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"raw_anchor_ns",      "tai_anchor_ns", "rate_ppb",
                               "valid_until_raw_ns", "error_ns",      NULL};
    ClockPageObject *self = (ClockPageObject *)object;
    long long anchor_ns, tai_ns, valid_until_raw_ns, error_ns;
    double rate_ppb;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$LLdLL:publish_map", keywords, &anchor_ns, &tai_ns,
                                     &rate_ppb, &valid_until_raw_ns, &error_ns) ||
        !fill_map(&self->data.host, anchor_ns, tai_ns, rate_ppb, valid_until_raw_ns, error_ns, -1)) {
        return NULL;
    }
    return publish(self);
}

static PyObject *publish_phc_map(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {
        "phc_index", "phc_anchor_ns", "tai_anchor_ns", "rate_ppb", "valid_until_raw_ns", "error_ns", NULL};
    ClockPageObject *self = (ClockPageObject *)object;
    long long anchor_ns, tai_ns, valid_until_raw_ns, error_ns;
    double rate_ppb;
    int phc_index;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$iLLdLL:publish_phc_map", keywords, &phc_index,
                                     &anchor_ns, &tai_ns, &rate_ppb, &valid_until_raw_ns, &error_ns)) {
        return NULL;
    }
    if (phc_index < 0) {
        PyErr_SetString(PyExc_ValueError, "phc_index must not be negative");
        return NULL;
    }
    if (!fill_map(&self->data.phc, anchor_ns, tai_ns, rate_ppb, valid_until_raw_ns, error_ns, phc_index)) {
        return NULL;
    }
    return publish(self);
}

static PyObject *withdraw_maps(PyObject *object, PyObject *unused)
{
    ClockPageObject *self = (ClockPageObject *)object;

    (void)unused;
    self->data.host.valid = 0;
    self->data.phc.valid = 0;
    return publish(self);
}

static PyObject *publish_announce(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"clock_class",        "clock_accuracy", "offset_scaled_log_variance",
                               "current_utc_offset", "flags",          "time_source",
                               "priority1",          "priority2",      "grandmaster_identity",
                               "steps_removed",      "epoch",          NULL};
    static const struct {
        const char *name;
        int minimum, maximum;
    } ranges[] = {{"clock_class", 0, 255},
                  {"clock_accuracy", 0, 255},
                  {"offset_scaled_log_variance", 0, 65535},
                  {"current_utc_offset", -32768, 32767},
                  {"flags", 0, 255},
                  {"time_source", 0, 255},
                  {"priority1", 0, 255},
                  {"priority2", 0, 255},
                  {"steps_removed", 0, 65535}};
    ClockPageObject *self = (ClockPageObject *)object;
    int v[9] = {0}; /* in the order of `ranges` */
    unsigned int epoch;
    const char *identity_bytes;
    Py_ssize_t identity_size;
    uint64_t identity;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$iiiiiiiiy#iI:publish_announce", keywords, &v[0], &v[1],
                                     &v[2], &v[3], &v[4], &v[5], &v[6], &v[7], &identity_bytes,
                                     &identity_size, &v[8], &epoch) ||
        !identity_from_bytes("grandmaster_identity", identity_bytes, identity_size, &identity)) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        if (v[i] < ranges[i].minimum || v[i] > ranges[i].maximum) {
            return PyErr_Format(PyExc_ValueError, "%s must be %d to %d, not %d", ranges[i].name,
                                ranges[i].minimum, ranges[i].maximum, v[i]);
        }
    }
    self->data.announce = (struct clock_announce){
        .grandmaster_identity = identity,
        .epoch = epoch,
        .clock_class = (uint8_t)v[0],
        .clock_accuracy = (uint8_t)v[1],
        .offset_scaled_log_variance = (uint16_t)v[2],
        .current_utc_offset_s = (int16_t)v[3],
        .flags = (uint8_t)v[4],
        .time_source = (uint8_t)v[5],
        .priority1 = (uint8_t)v[6],
        .priority2 = (uint8_t)v[7],
        .steps_removed = (uint16_t)v[8],
        .valid = 1,
        .leap_tai_ns = self->data.announce.leap_tai_ns,
        .utc_offset_after_s = self->data.announce.utc_offset_after_s,
        .flags_after = self->data.announce.flags_after,
    };
    return publish(self);
}

/* Goes out with the next announce data, so that no reader ever sees one without the other. */
static PyObject *set_leap(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"tai_ns", "utc_offset_after", "flags_after", NULL};
    struct clock_announce *announce = &((ClockPageObject *)object)->data.announce;
    long long tai_ns;
    int utc_offset_s, flags;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$Lii:set_leap", keywords, &tai_ns, &utc_offset_s,
                                     &flags)) {
        return NULL;
    }
    if (tai_ns < 0 || utc_offset_s < -32768 || utc_offset_s > 32767 || flags < 0 || flags > 255) {
        PyErr_SetString(PyExc_ValueError, "tai_ns, utc_offset_after or flags_after is out of range");
        return NULL;
    }
    announce->leap_tai_ns = tai_ns;
    announce->utc_offset_after_s = (int16_t)utc_offset_s;
    announce->flags_after = (uint8_t)flags;
    Py_RETURN_NONE;
}

static PyObject *set_serving(PyObject *object, PyObject *argument)
{
    ClockPageObject *self = (ClockPageObject *)object;
    int serving = PyObject_IsTrue(argument);

    if (serving < 0) {
        return NULL;
    }
    self->data.serving = (uint64_t)serving;
    return publish(self);
}

/* Read through the page itself, as a server's thread does. */
static PyObject *read_as_tai(ClockPageObject *self, int phc, long long source_ns, long long now_raw_ns)
{
    struct clock_data data;
    uint64_t generation = UINT64_MAX;
    const struct clock_map *map = phc ? &data.phc : &data.host;

    if (!clock_page_read(self->page, &data, &generation) || !clock_map_holds(map, now_raw_ns)) {
        Py_RETURN_NONE;
    }
    return PyLong_FromLongLong(clock_map_tai_ns(map, source_ns));
}

static PyObject *read_map(PyObject *object, PyObject *args)
{
    long long raw_ns;

    if (!PyArg_ParseTuple(args, "L:read_map", &raw_ns)) {
        return NULL;
    }
    return read_as_tai((ClockPageObject *)object, 0, raw_ns, raw_ns);
}

static PyObject *read_phc_map(PyObject *object, PyObject *args)
{
    long long phc_ns, now_raw_ns;

    if (!PyArg_ParseTuple(args, "LL:read_phc_map", &phc_ns, &now_raw_ns)) {
        return NULL;
    }
    return read_as_tai((ClockPageObject *)object, 1, phc_ns, now_raw_ns);
}

static PyMethodDef methods[] = {
    {"publish_map", (PyCFunction)(void (*)(void))publish_map, METH_VARARGS | METH_KEYWORDS,
     "Map CLOCK_MONOTONIC_RAW to TAI."},
    {"publish_phc_map", (PyCFunction)(void (*)(void))publish_phc_map, METH_VARARGS | METH_KEYWORDS,
     "Map a NIC's PHC to TAI."},
    {"withdraw_maps", withdraw_maps, METH_NOARGS, "Take both maps back at once."},
    {"publish_announce", (PyCFunction)(void (*)(void))publish_announce, METH_VARARGS | METH_KEYWORDS,
     "What Announce messages say from now on."},
    {"set_leap", (PyCFunction)(void (*)(void))set_leap, METH_VARARGS | METH_KEYWORDS,
     "What they say instead from an instant of TAI on."},
    {"set_serving", set_serving, METH_O, "Whether the server may answer at all."},
    {"read_map", read_map, METH_VARARGS,
     "TAI at a CLOCK_MONOTONIC_RAW reading, None when the map is void then."},
    {"read_phc_map", read_phc_map, METH_VARARGS, "TAI at a PHC reading, None when the map is void."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "What C threads know about time: a lock-free page with one writer."},
    {Py_tp_new, page_new},
    {Py_tp_dealloc, page_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec clock_page_spec = {
    .name = "appliance.ptp._native.ClockPage",
    .basicsize = sizeof(ClockPageObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};
