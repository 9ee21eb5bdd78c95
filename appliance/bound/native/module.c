/*
 * The Python face of the bound pages: Page and FbclockPage write, Reader reads, evaluate() judges a page that
 * is no file. Python's lock gives every object to one thread at a time.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <string.h>
#include <sys/mman.h>

#include "fbclock_page.h"
#include "page_writer.h"

static PyObject *allocate(PyTypeObject *type)
{
    return ((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0); /* its own fields are zero */
}

static void release(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);

    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static void *map_file(int file, size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

    return memory == MAP_FAILED ? PyErr_SetFromErrno(PyExc_OSError) : memory;
}

/* Exactly `size` bytes of a bytes object, into `target`; 0 with an exception. */
static int copy_bytes(PyObject *source, void *target, size_t size)
{
    char *bytes;
    Py_ssize_t found;

    if (PyBytes_AsStringAndSize(source, &bytes, &found) < 0) {
        return 0;
    }
    if ((size_t)found != size) {
        PyErr_Format(PyExc_ValueError, "the data must be %zu bytes, not %zd", size, found);
        return 0;
    }
    memcpy(target, bytes, size);
    return 1;
}

/* ------------------------------------------------------------------------------------------ Page */

typedef struct {
    PyObject_HEAD
    struct time_bound_page *page;
} PageObject;

static PyObject *page_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"file", "pid", "start_ticks", NULL};
    PageObject *self;
    unsigned int pid;
    unsigned long long start_ticks;
    int file;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "iIK:Page", keywords, &file, &pid, &start_ticks)) {
        return NULL;
    }
    self = (PageObject *)allocate(type);
    if (self == NULL) {
        return NULL;
    }
    self->page = map_file(file, sizeof(*self->page));
    if (self->page == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    bound_page_begin(self->page, pid, start_ticks);
    return (PyObject *)self;
}

static void page_dealloc(PyObject *object)
{
    PageObject *self = (PageObject *)object;

    if (self->page != NULL) {
        munmap(self->page, sizeof(*self->page));
    }
    release(object);
}

static PyObject *page_write(PyObject *object, PyObject *bytes)
{
    PageObject *self = (PageObject *)object;
    struct time_bound_data data;

    if (!copy_bytes(bytes, &data, sizeof(data))) {
        return NULL;
    }
    return PyBool_FromLong(bound_page_write(self->page, &data));
}

static PyObject *page_end(PyObject *object, PyObject *unused)
{
    (void)unused;
    bound_page_end(((PageObject *)object)->page);
    Py_RETURN_NONE;
}

static PyMethodDef page_methods[] = {
    {"write", page_write, METH_O, "Publish the data; True when the host slept since the last write."},
    {"end", page_end, METH_NOARGS, "The daemon stops: refuse."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot page_slots[] = {
    {Py_tp_doc, "The writing end of a bound page."},
    {Py_tp_new, page_new},
    {Py_tp_dealloc, page_dealloc},
    {Py_tp_methods, page_methods},
    {0, NULL},
};

static PyType_Spec page_spec = {
    .name = "appliance.bound._native.Page",
    .basicsize = sizeof(PageObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = page_slots,
};

/* ------------------------------------------------------------------------------------------ FbclockPage */

typedef struct {
    PyObject_HEAD
    uint64_t *words;
    int version;
} FbclockObject;

static size_t fbclock_size(const FbclockObject *self)
{
    return (self->version == 2 ? FBCLOCK_V2_WORDS : FBCLOCK_V1_WORDS) * sizeof(uint64_t);
}

static PyObject *fbclock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"file", "version", NULL};
    FbclockObject *self;
    int file, version;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "ii:FbclockPage", keywords, &file, &version)) {
        return NULL;
    }
    if (version != 1 && version != 2) {
        return PyErr_Format(PyExc_ValueError, "version must be 1 or 2, not %d", version);
    }
    self = (FbclockObject *)allocate(type);
    if (self == NULL) {
        return NULL;
    }
    self->version = version;
    self->words = map_file(file, fbclock_size(self));
    if (self->words == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void fbclock_dealloc(PyObject *object)
{
    FbclockObject *self = (FbclockObject *)object;

    if (self->words != NULL) {
        munmap(self->words, fbclock_size(self));
    }
    release(object);
}

static PyObject *fbclock_write(PyObject *object, PyObject *bytes)
{
    FbclockObject *self = (FbclockObject *)object;
    uint64_t words[FBCLOCK_V2_SECTION_WORDS];
    int count = self->version == 2 ? FBCLOCK_V2_SECTION_WORDS : FBCLOCK_V1_WORDS;

    if (!copy_bytes(bytes, words, (size_t)count * sizeof(uint64_t))) {
        return NULL;
    }
    if (self->version == 2) {
        fbclock_v2_write(self->words, words);
    } else {
        fbclock_v1_write(self->words, words);
    }
    Py_RETURN_NONE;
}

static PyMethodDef fbclock_methods[] = {
    {"write", fbclock_write, METH_O, "Publish the page, or the first section of version 2."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot fbclock_slots[] = {
    {Py_tp_doc, "The writing end of a page in a layout of fbclock."},
    {Py_tp_new, fbclock_new},
    {Py_tp_dealloc, fbclock_dealloc},
    {Py_tp_methods, fbclock_methods},
    {0, NULL},
};

static PyType_Spec fbclock_spec = {
    .name = "appliance.bound._native.FbclockPage",
    .basicsize = sizeof(FbclockObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = fbclock_slots,
};

/* ------------------------------------------------------------------------------------------ Reader */

typedef struct {
    PyObject_HEAD
    struct time_bound_reader reader;
} ReaderObject;

/* UTC as a tuple, or None when it is not known. */
static PyObject *utc_of(const struct time_bound *bound)
{
    struct time_bound_utc utc;

    if (time_bound_utc(bound, &utc) != TIME_BOUND_OK) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("(LLiii)", (long long)utc.earliest_ns, (long long)utc.latest_ns,
                         (int)utc.earliest_in_leap, (int)utc.latest_in_leap, (int)bound->utc_offset_s);
}

/* A refusal as its number; else the fields in the order of the class Bound. */
static PyObject *answer(enum time_bound_refusal refusal, const struct time_bound *bound)
{
    if (refusal != TIME_BOUND_OK) {
        return PyLong_FromLong(refusal);
    }
    return Py_BuildValue("(LLLLddiKIiiLN)", (long long)bound->earliest_tai_ns,
                         (long long)bound->latest_tai_ns, (long long)bound->raw_ns,
                         (long long)bound->valid_until_raw_ns, bound->plane_error_ns, bound->p,
                         (int)bound->state, (unsigned long long)bound->generation,
                         (unsigned int)bound->epoch, (int)bound->clock_class, (int)bound->leap_change_s,
                         (long long)bound->leap_at_tai_ns, utc_of(bound));
}

static PyObject *reader_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"path", NULL};
    ReaderObject *self;
    PyObject *path;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&:Reader", keywords, PyUnicode_FSConverter, &path)) {
        return NULL;
    }
    if (PyBytes_Size(path) >= TIME_BOUND_PATH_SIZE) {
        Py_DECREF(path);
        return PyErr_Format(PyExc_ValueError, "path: longer than %d bytes", TIME_BOUND_PATH_SIZE - 1);
    }
    self = (ReaderObject *)allocate(type);
    if (self != NULL) {
        time_bound_open(&self->reader, PyBytes_AsString(path));
    }
    Py_DECREF(path);
    return (PyObject *)self;
}

static void reader_dealloc(PyObject *object)
{
    time_bound_close(&((ReaderObject *)object)->reader);
    release(object);
}

static PyObject *reader_now(PyObject *object, PyObject *args)
{
    struct time_bound bound;
    int plane, wide;
    enum time_bound_refusal refusal;

    if (!PyArg_ParseTuple(args, "ip:now", &plane, &wide)) {
        return NULL;
    }
    refusal = time_bound_now(&((ReaderObject *)object)->reader, (enum time_bound_plane)plane, wide, &bound);
    return answer(refusal, &bound);
}

static PyObject *reader_writer(PyObject *object, PyObject *unused)
{
    const struct time_bound_page *page = ((ReaderObject *)object)->reader.page;

    (void)unused;
    if (page == NULL) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("(IK)", (unsigned int)page->writer_pid, (unsigned long long)page->writer_start);
}

static PyMethodDef reader_methods[] = {
    {"now", reader_now, METH_VARARGS, "now(plane, wide): the fields of a bound, or the number of a refusal."},
    {"writer", reader_writer, METH_NOARGS, "Process and start time of the page's writer, or None."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot reader_slots[] = {
    {Py_tp_doc, "The reading end of a bound page."},
    {Py_tp_new, reader_new},
    {Py_tp_dealloc, reader_dealloc},
    {Py_tp_methods, reader_methods},
    {0, NULL},
};

static PyType_Spec reader_spec = {
    .name = "appliance.bound._native.Reader",
    .basicsize = sizeof(ReaderObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = reader_slots,
};

/* ------------------------------------------------------------------------------------------ module */

static PyObject *evaluate(PyObject *module, PyObject *args)
{
    struct time_bound_data data;
    struct time_bound bound = {0};
    PyObject *bytes;
    long long raw_ns;
    unsigned int plane;
    int wide;

    (void)module;
    if (!PyArg_ParseTuple(args, "OLIp:evaluate", &bytes, &raw_ns, &plane, &wide) ||
        !copy_bytes(bytes, &data, sizeof(data))) {
        return NULL;
    }
    return answer(time_bound_evaluate(&data, plane, wide, raw_ns, &bound), &bound);
}

static PyObject *reason(PyObject *module, PyObject *number)
{
    long refusal = PyLong_AsLong(number);

    (void)module;
    if (PyErr_Occurred()) {
        return NULL;
    }
    return PyUnicode_FromString(time_bound_reason((enum time_bound_refusal)refusal));
}

static PyMethodDef functions[] = {
    {"evaluate", evaluate, METH_VARARGS, "evaluate(data, raw_ns, plane, wide): as Reader.now, of such data."},
    {"reason", reason, METH_O, "A refusal in words."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_native",
    .m_doc = "Bound pages: writers and a reader.",
    .m_size = -1,
    .m_methods = functions,
};

static int add_type(PyObject *module, PyType_Spec *spec, const char *name)
{
    PyObject *type = PyType_FromSpec(spec);

    if (type == NULL) {
        return -1;
    }
    if (PyModule_AddObject(module, name, type) < 0) { /* takes the reference when it succeeds */
        Py_DECREF(type);
        return -1;
    }
    return 0;
}

PyMODINIT_FUNC PyInit__native(void)
{
    PyObject *module = PyModule_Create(&definition);

    if (module == NULL || add_type(module, &page_spec, "Page") < 0 ||
        add_type(module, &fbclock_spec, "FbclockPage") < 0 || add_type(module, &reader_spec, "Reader") < 0 ||
        PyModule_AddIntConstant(module, "DATA_SIZE", sizeof(struct time_bound_data)) < 0 ||
        PyModule_AddIntConstant(module, "PAGE_SIZE", sizeof(struct time_bound_page)) < 0) {
        Py_XDECREF(module);
        return NULL;
    }
    return module;
}
