/* Internal to the Python module. */
#ifndef PTP_MODULE_H
#define PTP_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "clock_page.h"

typedef struct {
    PyObject_HEAD struct clock_page *page;
    struct clock_data data; /* the writer's copy */
} ClockPageObject;

extern PyType_Spec clock_page_spec;
extern PyType_Spec server_spec;
extern PyObject *clock_page_type;

/* An identity of eight bytes as a number; 0 with a ValueError that names `field`. */
int identity_from_bytes(const char *field, const char *bytes, Py_ssize_t size, uint64_t *identity);

struct server_config;

/* Defaults, then the keyword arguments over them; 0 with TypeError or ValueError. */
int server_config_from_python(struct server_config *config, PyObject *kwargs);

#endif
