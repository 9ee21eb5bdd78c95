/*
 * The Python face of the clock page and the server. Nothing here runs while packets are answered: the worker
 * threads know neither Python nor its lock.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "module.h"

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_native",
    .m_doc = "Native PTP server: clock page, packet answering.",
    .m_size = -1,
};

static int add_type(PyObject *module, PyType_Spec *spec, const char *name, PyObject **kept)
{
    PyObject *type = PyType_FromSpec(spec);

    if (type == NULL) {
        return -1;
    }
    if (kept != NULL) {
        *kept = type; /* the module is never unloaded */
        Py_INCREF(type);
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

    if (module == NULL || add_type(module, &clock_page_spec, "ClockPage", &clock_page_type) < 0 ||
        add_type(module, &server_spec, "Server", NULL) < 0) {
        Py_XDECREF(module);
        return NULL;
    }
    return module;
}
