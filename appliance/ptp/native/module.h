/* Internal to the Python module. */
#ifndef PTP_MODULE_H
#define PTP_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "clock_page.h"

typedef struct {
    PyObject_HEAD
    struct clock_page *page;
    struct clock_data data; /* the writer's copy */
} ClockPageObject;

extern PyType_Spec clock_page_spec;
extern PyType_Spec server_spec;
extern PyObject *clock_page_type;

/* An identity of eight bytes as a number; false with a ValueError that names `field`. */
int identity_from_bytes(const char *field, const char *bytes, Py_ssize_t size, uint64_t *identity);

#endif
